// RUN: fold-prompts
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %c = "agent.const"() {id = "const_1", value = "\22SQL\22", opts = {}} : () -> !agent.value<"str">
  %n = "agent.const"() {id = "const_2", value = "3", opts = {}} : () -> !agent.value<"int">
  %i = "agent.prompt"(%q) {id = "prompt_1", parts = ["<", ">"], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %p = "agent.prompt"(%c, %n, %i) {id = "prompt_2", parts = ["Write ", " x", ": ", "."], opts = {}} : (!agent.value<"str">, !agent.value<"int">, !agent.value<"str">) -> !agent.value<"str">
  "agent.yield"(%p) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      ^bb0([[Q:%.+]]: !agent.value<"str">):
// CHECK-NEXT:   "agent.prompt"([[Q]]) {id = "prompt_2", opts = {}, parts = ["Write SQL x3: <", ">."]}
// CHECK-NEXT:   "agent.yield"
