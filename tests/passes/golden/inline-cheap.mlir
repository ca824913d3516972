// RUN: inline-cheap
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %a = "op.call"(%q) {id = "pure", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %b = "op.call"(%a) {id = "slow", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {typical_s = 0.1 : f64}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %c = "op.call"(%b) {id = "timed", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {timeout_s = 1.0 : f64}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %d = "op.call"(%c) {id = "coroutine", kind = "tool", callee = "f", params = ["x"], effects = "once", opts = {is_async = true}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %e = "op.call"(%d) {id = "question", kind = "ask", callee = "", params = [], effects = "once", opts = {}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  "agent.yield"(%e) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK: id = "pure", {{.*}}place = "inline"
// CHECK: id = "slow", {{.*}}place = ""
// CHECK: id = "timed", {{.*}}place = ""
// CHECK: id = "coroutine", {{.*}}place = "async"
// CHECK: id = "question", {{.*}}place = "human"
