// RUN: kv-lifetime
// An agent's loop: the turn at the end of an iteration continues in the next one, through whichever tool it chose. The
// tool says so when it starts, with the features of its arguments; for a human nothing is kept. An arm that does not
// go on with the conversation ends it.
"agent.declare_tool"() {name = "read", path = "", code = "", effects = "once", params = ["sql", "path"], types = ["str", "str"], required = ["sql", "path"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %path: !agent.value<"str">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %no = "agent.const"() {id = "const_1", value = "false", opts = {}} : () -> !agent.value<"bool">
  %s, %end, %f = "agent.loop"(%q, %c0, %no) ({
  ^bb0(%s0: !agent.value<"str">, %s1: !agent.value<"Chat">, %s2: !agent.value<"bool">):
    "agent.yield"(%s2) : (!agent.value<"bool">) -> ()
  }, {
  ^bb0(%s0: !agent.value<"str">, %s1: !agent.value<"Chat">, %s2: !agent.value<"bool">):
    %r, %c = "agent.generate"(%s0, %s1) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    %is = "agent.tool"(%r) {id = "eq_1", callee = "builtin.truth", params = ["value"], effects = "pure", opts = {}} : (!agent.value<"str">) -> !agent.value<"bool">
    %o = "agent.branch"(%is) ({
        %x = "agent.tool"(%r, %path) {id = "read_1", callee = "read", params = ["sql", "path"], effects = "once", opts = {typical_s = 1.5 : f64, pause_features = ["path"]}} : (!agent.value<"str">, !agent.value<"str">) -> !agent.value<"str">
      "agent.yield"(%x) : (!agent.value<"str">) -> ()
    }, {
      %o2 = "agent.branch"(%is) ({
          %x = "agent.ask"(%r) {id = "ask_1", returns = "str", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
        "agent.yield"(%x) : (!agent.value<"str">) -> ()
      }, {
        "agent.yield"(%r) : (!agent.value<"str">) -> ()
      }) {id = "branch_2", opts = {}} : (!agent.value<"bool">) -> !agent.value<"str">
      "agent.yield"(%o2) : (!agent.value<"str">) -> ()
    }) {id = "branch_1", opts = {}} : (!agent.value<"bool">) -> !agent.value<"str">
    "agent.yield"(%o, %c, %is) : (!agent.value<"str">, !agent.value<"Chat">, !agent.value<"bool">) -> ()
  }) {id = "loop_1", max = 6 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">, !agent.value<"bool">) -> (!agent.value<"str">, !agent.value<"Chat">, !agent.value<"bool">)
  %a = "agent.branch"(%f) ({
    "agent.yield"(%s) : (!agent.value<"str">) -> ()
  }, {
    %r, %c = "agent.generate"(%q, %end) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%r) : (!agent.value<"str">) -> ()
  }) {id = "branch_3", opts = {}} : (!agent.value<"bool">) -> !agent.value<"str">
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      "agent.loop"
// CHECK:      [[T:%.+]]:2 = "agent.generate"
// CHECK-NEXT: "op.kv_pin"([[T]]#1) {id = "llm_1.pin", opts = {tool = "read|ask", turns_left = 1.750000e+00 : f64}, place = "", resources = {}, ttl_s = 3.000000e+02 : f64}
// CHECK:      "agent.branch"
// CHECK-NEXT: "op.kv_extend"([[T]]#1, %arg1) {id = "llm_1.extend.read_1", opts = {before = "read_1", features = ["path"], tool = "read", typical_s = 1.500000e+00 : f64}, place = "", resources = {}, ttl_s = 3.000000e+02 : f64}
// CHECK-NEXT: "agent.tool"([[T]]#0, %arg1)
// CHECK:      "op.kv_extend"([[T]]#1) {id = "llm_1.extend.ask_1", opts = {before = "ask_1", tool = "ask"}, place = "", resources = {}, ttl_s = 0.000000e+00 : f64}
// CHECK-NEXT: "agent.ask"
// CHECK:      id = "loop_1"
// CHECK-NEXT: "agent.branch"
// CHECK-NEXT: "op.kv_release"({{%.+}}#1) {id = "branch_3.release.then"
// CHECK-NEXT: "agent.yield"
// CHECK:      [[E:%.+]]:2 = "agent.generate"{{.*}}id = "llm_2"
// CHECK-NEXT: "op.kv_release"([[E]]#1) {id = "llm_2.release"
