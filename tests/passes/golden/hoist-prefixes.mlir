// RUN: hoist-prefixes
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %p = "agent.prompt"(%q) {id = "prompt_1", parts = ["Schema: ", ""], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %o = "agent.prompt"(%q) {id = "prompt_2", parts = ["Schema: ", "!"], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %a, %x = "agent.generate"(%p) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {seed = 7 : i64}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %b, %y = "agent.generate"(%o) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %c, %z = "agent.generate"(%q) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%a) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK: id = "llm_1", model = "m", opts = {prefix_group = "[[G:[0-9a-f]+]]", seed = 7 : i64, static_prefix_chars = 8 : i64}
// CHECK: id = "llm_2", model = "m", opts = {prefix_group = "[[G]]", static_prefix_chars = 8 : i64}
// CHECK: id = "llm_3", model = "m", opts = {}
