// RUN: canonicalise
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %s, %t = "agent.sleep"() {id = "sleep_1", opts = {seconds = 6.0e1}} : () -> (!agent.value<"None">, !agent.token)
  %s2, %t2 = "agent.sleep"(%t) {id = "sleep_2", opts = {seconds = 6.0e1}} : (!agent.token) -> (!agent.value<"None">, !agent.token)
  %s3 = "agent.sleep"() {id = "sleep_3", opts = {seconds = 6.0e1}} : () -> !agent.value<"None">
  %s4 = "agent.sleep"() {id = "sleep_4", opts = {seconds = 6.0e1}} : () -> !agent.value<"None">
  %a, %c = "agent.generate"(%q, %t2) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.token) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// Nobody reads what a sleep gives, and equal ones are as many waits.
// CHECK:      [[S:%.+]]:2 = "agent.sleep"() {id = "sleep_1"
// CHECK-NEXT: [[S2:%.+]]:2 = "agent.sleep"([[S]]#1) {id = "sleep_2"
// CHECK-NEXT: "agent.sleep"() {id = "sleep_3"
// CHECK-NEXT: "agent.sleep"() {id = "sleep_4"
// CHECK-NEXT: "agent.generate"(%arg0, [[S2]]#1)
