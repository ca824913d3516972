// RUN: kv-lifetime
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %a, %c = "agent.generate"(%q) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %d = "agent.done"(%a) {id = "after_1", opts = {}} : (!agent.value<"str">) -> !agent.token
  %s, %t = "agent.sleep"(%d) {id = "sleep_1", opts = {seconds = 6.0e1}} : (!agent.token) -> (!agent.value<"None">, !agent.token)
  %b, %c2 = "agent.generate"(%q, %c, %t) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">, !agent.token) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%b) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// How long the conversation pauses is the workflow's word.
// CHECK: "op.kv_pin"({{.*}}) {id = "llm_1.pin", opts = {tool = "sleep:60s", {{.*}}typical_s = 6
