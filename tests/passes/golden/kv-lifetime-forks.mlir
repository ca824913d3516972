// RUN: kv-lifetime
// Forks: what they share is pinned once, and is superseded behind the last of them. Of samples one is picked, and the
// others are over.
"agent.declare_tool"() {name = "run", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "walk", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "check", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %path: !agent.value<"str">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %a, %c1 = "agent.generate"(%q, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %t = "agent.tool"(%a) {id = "run_1", callee = "run", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b, %c2 = "agent.generate"(%t, %c1) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %u = "agent.tool"(%a) {id = "walk_1", callee = "walk", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %d, %c3 = "agent.generate"(%u, %c1) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %ls, %cs = "agent.generate"(%b, %c2) {id = "llm_4", model = "m", returns = "str", samples = 3 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"list[str]">, !agent.value<"list[Chat]">)
  %m, %cm = "agent.map"(%ls, %cs) ({
  ^bb0(%i: !agent.value<"str">, %f: !agent.value<"Chat">):
    %x = "agent.tool"(%i) {id = "check_1", callee = "check", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
    %r, %e = "agent.generate"(%x, %f) {id = "llm_5", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%r, %e) : (!agent.value<"str">, !agent.value<"Chat">) -> ()
  }) {id = "map_1", limit = 3 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[str]">, !agent.value<"list[Chat]">) -> (!agent.value<"list[str]">, !agent.value<"list[Chat]">)
  %at = "agent.const"() {id = "const_1", value = "0", opts = {}} : () -> !agent.value<"int">
  %one = "agent.tool"(%cm, %at) {id = "getitem_1", callee = "builtin.getitem", params = ["items", "key"], effects = "pure", opts = {}} : (!agent.value<"list[Chat]">, !agent.value<"int">) -> !agent.value<"Chat">
  %w, %v = "agent.generate"(%d, %one) {id = "llm_6", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%w) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[A:%.+]]:2 = "agent.generate"
// CHECK-NEXT: "op.kv_pin"([[A]]#1) {id = "llm_1.pin", opts = {shared = true, tool = "run",
// CHECK-NOT:  "op.kv_release"([[A]]#1)
// CHECK:      [[B:%.+]]:2 = "agent.generate"{{.*}}id = "llm_2"
// CHECK-NEXT: "op.kv_pin"([[B]]#1) {id = "llm_2.pin", opts = {turns_left = 3.0
// CHECK:      [[D:%.+]]:2 = "agent.generate"{{.*}}id = "llm_3"
// CHECK-NEXT: "op.kv_supersede"([[A]]#1, [[B]]#0, [[B]]#1, [[D]]#0, [[D]]#1) {id = "llm_1.supersede", opts = {over = 1 : i64}
// CHECK-NEXT: "op.kv_release"([[D]]#1) {id = "llm_3.release"
// CHECK:      [[S:%.+]]:2 = "agent.generate"{{.*}}samples = 3
// CHECK-NEXT: "op.kv_pin"([[S]]#1) {id = "llm_4.pin", opts = {shared = true, tool = "check", turns_left
// CHECK-NEXT: [[M:%.+]]:2 = "agent.map"
// CHECK:      "op.kv_pin"({{%.+}}#1) {id = "llm_5.pin", opts = {turns_left = 0.33
// CHECK:      [[O:%.+]] = "agent.tool"([[M]]#1
// CHECK-NEXT: "op.kv_supersede"([[M]]#1, [[O]]) {id = "getitem_1.supersede"
// CHECK-NEXT: [[W:%.+]]:2 = "agent.generate"{{.*}}[[O]]
// CHECK-NEXT: "op.kv_release"([[W]]#1) {id = "llm_6.release"
