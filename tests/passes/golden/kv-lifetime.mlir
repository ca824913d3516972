// RUN: kv-lifetime
// A wait is named by its tools, in order; how long it may last is the user's word or unknown. A tool whose result the
// next turn does not need is no part of the wait, and neither is a conversation's text in a prompt.
"agent.declare_tool"() {name = "run", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "walk", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "log", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %path: !agent.value<"str">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %a, %c1 = "agent.generate"(%q, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %t = "agent.tool"(%a) {id = "run_1", callee = "run", params = ["x"], effects = "once", opts = {typical_s = 0.5 : f64}} : (!agent.value<"str">) -> !agent.value<"str">
  %u = "agent.tool"(%t) {id = "run_2", callee = "walk", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %z = "agent.tool"(%a) {id = "log_1", callee = "log", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b, %c2 = "agent.generate"(%u, %c1) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %p = "agent.prompt"(%c2) {id = "prompt_1", parts = ["Summarise: ", ""], opts = {}} : (!agent.value<"Chat">) -> !agent.value<"str">
  %d, %c3 = "agent.generate"(%p) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%d) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[A:%.+]]:2 = "agent.generate"
// CHECK-NEXT: "op.kv_pin"([[A]]#1) {id = "llm_1.pin", opts = {tool = "run+walk", turns_left = 1.000000e+00 : f64}, place = "", resources = {}, ttl_s = 3.000000e+02 : f64}
// CHECK-NEXT: "agent.tool"
// CHECK-NEXT: "agent.tool"
// CHECK-NEXT: "agent.tool"
// CHECK-NEXT: [[B:%.+]]:2 = "agent.generate"{{.*}}id = "llm_2", model = "m", opts = {turns_left = 0.000000e+00 : f64}
// CHECK-NEXT: "op.kv_release"([[B]]#1) {id = "llm_2.release"
// CHECK-NEXT: "agent.prompt"([[B]]#1)
// CHECK-NEXT: "agent.generate"{{.*}}id = "llm_3", model = "m", opts = {turns_left = 0.000000e+00 : f64}
// CHECK-NEXT: "agent.yield"
