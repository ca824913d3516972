// RUN: canonicalise
// Equal text is shared; a list that is written twice is two lists, as one of its users may change it.
"agent.workflow"() ({
^bb0:
  %a = "agent.const"() {id = "const_1", value = "\"x\"", opts = {}} : () -> !agent.value<"str">
  %b = "agent.const"() {id = "const_2", value = "\"x\"", opts = {}} : () -> !agent.value<"str">
  %c = "agent.const"() {id = "const_3", value = "[]", opts = {}} : () -> !agent.value<"list[str]">
  %d = "agent.const"() {id = "const_4", value = "[]", opts = {}} : () -> !agent.value<"list[str]">
  "agent.yield"(%a, %b, %c, %d) : (!agent.value<"str">, !agent.value<"str">, !agent.value<"list[str]">, !agent.value<"list[str]">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[A:%.+]] = "agent.const"{{.*}}id = "const_1"
// CHECK-NEXT: [[C:%.+]] = "agent.const"{{.*}}id = "const_3"
// CHECK-NEXT: [[D:%.+]] = "agent.const"{{.*}}id = "const_4"
// CHECK-NEXT: "agent.yield"([[A]], [[A]], [[C]], [[D]])
