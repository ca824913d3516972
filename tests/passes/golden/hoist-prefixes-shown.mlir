// RUN: hoist-prefixes
// A prompt that shows anything but text and numbers stays in its arm, which may be there to decide whether it can be
// shown; so does what is made of it, and a list, which each iteration gets its own of.
"agent.workflow"() ({
^bb0(%q: !agent.value<"bool">, %doc: !agent.value<"bytes">, %n: !agent.value<"int | None">):
  %r = "agent.branch"(%q) ({
    %number = "agent.prompt"(%n) {id = "prompt_1", parts = ["", ""], opts = {}} : (!agent.value<"int | None">) -> !agent.value<"str">
    %list = "agent.const"() {id = "const_1", value = "[]", opts = {}} : () -> !agent.value<"list[str]">
    %shown = "agent.prompt"(%doc) {id = "prompt_2", parts = ["", ""], opts = {}} : (!agent.value<"bytes">) -> !agent.value<"str">
    %listed = "agent.prompt"(%list) {id = "prompt_3", parts = ["", ""], opts = {}} : (!agent.value<"list[str]">) -> !agent.value<"str">
    %chat = "agent.chat"(%shown) {id = "chat_1", opts = {}} : (!agent.value<"str">) -> !agent.value<"Chat">
    %a, %d = "agent.generate"(%number, %chat) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%a) : (!agent.value<"str">) -> ()
  }, {
    %no = "agent.const"() {id = "const_2", value = "\"no\"", opts = {}} : () -> !agent.value<"str">
    "agent.yield"(%no) : (!agent.value<"str">) -> ()
  }) {id = "branch_1", opts = {}} : (!agent.value<"bool">) -> !agent.value<"str">
  "agent.yield"(%r) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      ^bb0
// CHECK-NEXT: "agent.prompt"{{.*}}id = "prompt_1"
// CHECK-NEXT: "agent.const"{{.*}}id = "const_2"
// CHECK-NEXT: "agent.branch"
// CHECK-NEXT: "agent.const"{{.*}}id = "const_1"
// CHECK-NEXT: "agent.prompt"{{.*}}id = "prompt_2"
// CHECK-NEXT: "agent.prompt"{{.*}}id = "prompt_3"
// CHECK-NEXT: "agent.chat"
// CHECK-NEXT: "agent.generate"
