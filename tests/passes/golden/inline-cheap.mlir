// RUN: inline-cheap
"agent.declare_tool"() {name = "f", path = "", code = "", effects = "pure", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "g", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %a = "op.call"(%q) {id = "cheap", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {cheap = true}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %b = "op.call"(%a) {id = "pure", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {typical_s = 0.00001 : f64}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %c = "op.call"(%b) {id = "timed", kind = "tool", callee = "f", params = ["x"], effects = "pure", opts = {cheap = true, timeout_s = 1.0 : f64}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %d = "op.call"(%c) {id = "coroutine", kind = "tool", callee = "g", params = ["x"], effects = "once", opts = {is_async = true}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %i = "op.call"(%d) {id = "isolated", kind = "tool", callee = "g", params = ["x"], effects = "once", opts = {is_async = true, isolation = "process"}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  %e = "op.call"(%i) {id = "question", kind = "ask", callee = "", params = [], effects = "once", opts = {returns = "str"}, place = ""} : (!agent.value<"str">) -> !agent.value<"str">
  "agent.yield"(%e) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK: id = "cheap", {{.*}}place = "inline"
// CHECK: id = "pure", {{.*}}place = ""
// CHECK: id = "timed", {{.*}}place = ""
// CHECK: id = "coroutine", {{.*}}place = "async"
// CHECK: id = "isolated", {{.*}}place = "process"
// CHECK: id = "question", {{.*}}place = "human"
