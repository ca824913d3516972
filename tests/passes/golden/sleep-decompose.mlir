// RUN: decompose
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %n: !agent.value<"float">):
  %s, %t = "agent.sleep"() {id = "sleep_1", opts = {seconds = 6.0e1}} : () -> (!agent.value<"None">, !agent.token)
  %s2, %t2 = "agent.sleep"(%n, %t) {id = "sleep_2", opts = {}} : (!agent.value<"float">, !agent.token) -> (!agent.value<"None">, !agent.token)
  %a, %c = "agent.generate"(%q, %t2) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.token) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[S:%.+]]:2 = "op.call"() {{.*}}effects = "idempotent", id = "sleep_1", kind = "sleep", opts = {seconds = 6
// CHECK-NEXT: [[S2:%.+]]:2 = "op.call"(%arg1, [[S]]#1) {{.*}}id = "sleep_2", kind = "sleep", opts = {}
// CHECK-NEXT: [[KV:%.+]] = "op.prefill"(%arg0, [[S2]]#1)
// CHECK-NEXT: "op.decode"([[KV]])
