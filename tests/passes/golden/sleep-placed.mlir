// RUN: inline-cheap
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %s, %t = "op.call"() {id = "sleep_1", kind = "sleep", callee = "", params = [], effects = "idempotent", place = "", opts = {seconds = 6.0e1}, resources = {}} : () -> (!agent.value<"None">, !agent.token)
  "agent.yield"(%q) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK: "op.call"() {{.*}}id = "sleep_1", kind = "sleep", {{.*}}place = "timer"
