// RUN: kv-lifetime
// Sharing under other names: what a loop carries is forked by its condition, whose body goes on in the same session;
// what a body forks is superseded in each iteration; the items of a list that two maps take fork in both.
"agent.declare_tool"() {name = "check", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "bool", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %qs: !agent.value<"list[str]">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %a, %c1 = "agent.generate"(%q, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %judged = "agent.loop"(%c1) ({
  ^bb0(%t: !agent.value<"Chat">):
    %r, %d = "agent.generate"(%q, %t) {id = "llm_2", model = "m", returns = "bool", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"bool">, !agent.value<"Chat">)
    "agent.yield"(%r) : (!agent.value<"bool">) -> ()
  }, {
  ^bb0(%t: !agent.value<"Chat">):
    %r, %d = "agent.generate"(%q, %t) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%d) : (!agent.value<"Chat">) -> ()
  }) {id = "loop_1", max = 4 : i64, opts = {}} : (!agent.value<"Chat">) -> !agent.value<"Chat">
  %forked = "agent.loop"(%judged) ({
  ^bb0(%t: !agent.value<"Chat">):
    %no = "agent.const"() {id = "const_1", value = "false", opts = {}} : () -> !agent.value<"bool">
    "agent.yield"(%no) : (!agent.value<"bool">) -> ()
  }, {
  ^bb0(%t: !agent.value<"Chat">):
    %note, %e = "agent.generate"(%q, %t) {id = "llm_4", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    %r, %d = "agent.generate"(%note, %t) {id = "llm_5", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%d) : (!agent.value<"Chat">) -> ()
  }) {id = "loop_2", max = 4 : i64, opts = {}} : (!agent.value<"Chat">) -> !agent.value<"Chat">
  %talks = "agent.map"(%qs) ({
  ^bb0(%i: !agent.value<"str">):
    %r, %d = "agent.generate"(%i, %c0) {id = "llm_6", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%d) : (!agent.value<"Chat">) -> ()
  }) {id = "map_1", limit = 3 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[str]">) -> !agent.value<"list[Chat]">
  %left = "agent.map"(%talks) ({
  ^bb0(%t: !agent.value<"Chat">):
    %is = "agent.tool"(%q) {id = "check_1", callee = "check", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"bool">
    %o = "agent.branch"(%is) ({
      %r, %d = "agent.generate"(%q, %t) {id = "llm_7", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
      "agent.yield"(%r) : (!agent.value<"str">) -> ()
    }, {
      "agent.yield"(%q) : (!agent.value<"str">) -> ()
    }) {id = "branch_1", opts = {}} : (!agent.value<"bool">) -> !agent.value<"str">
    "agent.yield"(%o) : (!agent.value<"str">) -> ()
  }) {id = "map_2", limit = 3 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[Chat]">) -> !agent.value<"list[str]">
  %right = "agent.map"(%talks) ({
  ^bb0(%t: !agent.value<"Chat">):
    %r, %d = "agent.generate"(%q, %t) {id = "llm_8", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%r) : (!agent.value<"str">) -> ()
  }) {id = "map_3", limit = 3 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[Chat]">) -> !agent.value<"list[str]">
  "agent.yield"(%right) : (!agent.value<"list[str]">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[A:%.+]]:2 = "agent.generate"{{.*}}id = "llm_1"
// CHECK-NEXT: "op.kv_pin"([[A]]#1) {id = "llm_1.pin", opts = {turns_left
// CHECK:      [[J:%.+]]:2 = "agent.generate"{{.*}}id = "llm_2", model = "m", opts = {fork = true, turns_left = 0.0
// CHECK-NEXT: "op.kv_release"([[J]]#1) {id = "llm_2.release"
// CHECK:      id = "llm_3", model = "m", opts = {}
// CHECK-NEXT: id = "llm_3.pin", opts = {turns_left
// CHECK:      ^bb0([[T:%.+]]: !agent.value<"Chat">):
// CHECK:      ^bb0([[T:%.+]]: !agent.value<"Chat">):
// CHECK-NEXT: [[N:%.+]]:2 = "agent.generate"{{.*}}id = "llm_4", model = "m", opts = {fork = true
// CHECK-NEXT: "op.kv_release"([[N]]#1) {id = "llm_4.release"
// CHECK-NEXT: [[G:%.+]]:2 = "agent.generate"{{.*}}id = "llm_5", model = "m", opts = {fork = true}
// CHECK-NEXT: id = "llm_5.pin"
// CHECK-NEXT: "op.kv_supersede"([[T]], [[N]]#0, [[N]]#1, [[G]]#0, [[G]]#1) {id = "loop_2.supersede.each.0", opts = {over = 1 : i64}
// CHECK:      id = "loop_2.release.0"
// CHECK-NEXT: [[L:%.+]] = "agent.map"
// CHECK:      id = "llm_6.pin", opts = {shared = true
// CHECK:      [[O:%.+]] = "agent.map"([[L]])
// CHECK:      id = "llm_7", model = "m", opts = {fork = true
// CHECK-NOT:  id = "branch_1.release
// CHECK:      [[R:%.+]] = "agent.map"([[L]])
// CHECK:      id = "llm_8", model = "m", opts = {fork = true
// CHECK:      "op.kv_supersede"([[L]], [[O]], [[R]]) {id = "map_1.supersede.0", opts = {over = 1 : i64}
