// RUN: decompose
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %p = "agent.prompt"(%q) {id = "prompt_1", parts = ["Q: ", ""], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %a, %x = "agent.generate"(%p) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {seed = 7 : i64, static_prefix_chars = 3 : i64}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[P:%.+]] = "op.call"({{.*}}) {{.*}}id = "prompt_1", kind = "prompt", opts = {parts = ["Q: ", ""]}
// CHECK-NEXT: [[KV:%.+]] = "op.prefill"([[P]]) {id = "llm_1.prefill", model = "m", opts = {static_prefix_chars = 3 : i64}
// CHECK-SAME: -> !op.kv
// CHECK-NEXT: [[R:%.+]]:2 = "op.decode"([[KV]]) {id = "llm_1", model = "m", opts = {seed = 7 : i64
// CHECK-NEXT: "agent.yield"([[R]]#0)
