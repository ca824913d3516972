// RUN: kv-lifetime
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %a, %c1 = "agent.generate"(%q, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %t = "agent.tool"(%a) {id = "run_1", callee = "run", params = ["x"], effects = "once", opts = {typical_s = 0.5 : f64}} : (!agent.value<"str">) -> !agent.value<"str">
  %u = "agent.tool"(%t) {id = "run_2", callee = "walk", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b, %c2 = "agent.generate"(%u, %c1) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%b) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[A:%.+]]:2 = "agent.generate"
// CHECK-NEXT: "op.kv_pin"([[A]]#1) {id = "llm_1.pin", opts = {}, place = "", resources = {}, ttl_s = 2.500000e+00 : f64}
// CHECK-NEXT: "agent.tool"
// CHECK-NEXT: "agent.tool"
// CHECK-NEXT: [[B:%.+]]:2 = "agent.generate"
// CHECK-NEXT: "op.kv_release"([[B]]#1) {id = "llm_2.release"
// CHECK-NEXT: "agent.yield"
