// RUN: canonicalise
// Fields of tuples fold, equal pure ops are shared whatever their ids, also from inside a region, and unused ones go.
// Ops with effects stay: two equal "once" tools are two calls, and an unused one still happens.
"agent.declare_tool"() {name = "shout", path = "", code = "", effects = "pure", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "send", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %t = "agent.tool"(%q, %q) {id = "tuple_1", callee = "builtin.tuple", params = ["0", "1"], effects = "pure", opts = {}} : (!agent.value<"str">, !agent.value<"str">) -> !agent.value<"tuple[str, str]">
  %f = "agent.field"(%t) {id = "field_1", path = "0", opts = {}} : (!agent.value<"tuple[str, str]">) -> !agent.value<"str">
  %a = "agent.tool"(%f) {id = "shout_1", callee = "shout", params = ["x"], effects = "pure", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b = "agent.tool"(%q) {id = "send_1", callee = "send", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %c = "agent.tool"(%q) {id = "send_2", callee = "send", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %unused = "agent.const"() {id = "const_1", value = "1", opts = {}} : () -> !agent.value<"int">
  %l = "agent.tool"(%q) {id = "list_1", callee = "builtin.list", params = ["0"], effects = "pure", opts = {}} : (!agent.value<"str">) -> !agent.value<"list[str]">
  %m = "agent.map"(%l) ({
  ^bb0(%item: !agent.value<"str">):
    %s = "agent.tool"(%q) {id = "shout_2", callee = "shout", params = ["x"], effects = "pure", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
    %n = "agent.tool"(%s) {id = "send_3", callee = "send", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
    "agent.yield"(%n) : (!agent.value<"str">) -> ()
  }) {id = "map_1", limit = 1 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[str]">) -> !agent.value<"list[str]">
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      ^bb0([[Q:%.+]]: !agent.value<"str">):
// CHECK-NEXT:   [[A:%.+]] = "agent.tool"([[Q]]) {{.*}}id = "shout_1"
// CHECK-NEXT:   "agent.tool"([[Q]]) {{.*}}id = "send_1"
// CHECK-NEXT:   "agent.tool"([[Q]]) {{.*}}id = "send_2"
// CHECK-NEXT:   "agent.tool"([[Q]]) {{.*}}id = "list_1"
// CHECK-NEXT:   "agent.map"
// CHECK-NEXT:   ^bb0
// CHECK-NEXT:     "agent.tool"([[A]]) {{.*}}id = "send_3"
// CHECK-NEXT:     "agent.yield"
// CHECK:        "agent.yield"([[A]])
