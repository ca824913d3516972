// RUN: hoist-prefixes
// What does not change is built once, out of any depth of regions; what depends on an item stays where it is.
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %items: !agent.value<"list[str]">):
  %r = "agent.map"(%items) ({
  ^bb0(%item: !agent.value<"str">):
    %w = "agent.race"() ({
      "agent.arm"() ({
        %s = "agent.prompt"(%q) {id = "prompt_1", parts = ["Schema: ", ""], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
        %c = "agent.chat"(%s) {id = "chat_1", opts = {}} : (!agent.value<"str">) -> !agent.value<"Chat">
        %p = "agent.prompt"(%item) {id = "prompt_2", parts = ["Item: ", ""], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
        %a, %d = "agent.generate"(%p, %c) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
        "agent.yield"(%a) : (!agent.value<"str">) -> ()
      }) {id = "arm_1"} : () -> ()
    }) {id = "race_1", opts = {}} : () -> !agent.value<"str">
    "agent.yield"(%w) : (!agent.value<"str">) -> ()
  }) {id = "map_1", limit = 3 : i64, concurrency = 0 : i64, opts = {}} : (!agent.value<"list[str]">) -> !agent.value<"list[str]">
  "agent.yield"(%r) : (!agent.value<"list[str]">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      ^bb0
// CHECK-NEXT: [[S:%.+]] = "agent.prompt"{{.*}}id = "prompt_1"
// CHECK-NEXT: [[C:%.+]] = "agent.chat"([[S]])
// CHECK-NEXT: "agent.map"
// CHECK-NEXT: ^bb0
// CHECK-NEXT: [[P:%.+]] = "agent.prompt"{{.*}}id = "prompt_2"
// CHECK-NEXT: "agent.race"() ({
// CHECK-NEXT: "agent.arm"() ({
// CHECK-NEXT: "agent.generate"([[P]], [[C]])
