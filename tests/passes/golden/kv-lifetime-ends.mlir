// RUN: kv-lifetime
// Nothing is kept for a human, nor for longer than any pin lasts. What a race's losers leave is superseded behind it, and
// so is a conversation that a new one is a summary of. One that is returned is left alone.
"agent.declare_tool"() {name = "walk", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.declare_tool"() {name = "slow", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %path: !agent.value<"str">):
  %c0 = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %a, %c1 = "agent.generate"(%q, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %h = "agent.ask"(%a) {id = "ask_1", returns = "str", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b, %c2 = "agent.generate"(%h, %c1) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %r = "agent.race"() ({
    "agent.arm"() ({
      %r1, %d1 = "agent.generate"(%b, %c2) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
      "agent.yield"(%r1) : (!agent.value<"str">) -> ()
    }) {id = "race_1/arm_1"} : () -> ()
    "agent.arm"() ({
      %x = "agent.tool"(%b) {id = "walk_1", callee = "walk", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
      %r1, %d1 = "agent.generate"(%x, %c2) {id = "llm_4", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
      "agent.yield"(%r1) : (!agent.value<"str">) -> ()
    }) {id = "race_1/arm_2"} : () -> ()
  }) {id = "race_1", opts = {}} : () -> !agent.value<"str">
  %k, %ck = "agent.generate"(%r, %c0) {id = "llm_5", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %z = "agent.tool"(%k) {id = "slow_1", callee = "slow", params = ["x"], effects = "once", opts = {typical_s = 900.0 : f64}} : (!agent.value<"str">) -> !agent.value<"str">
  %y, %cy = "agent.generate"(%z, %ck) {id = "llm_6", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %p = "agent.prompt"(%y) {id = "prompt_1", parts = ["So far: ", ""], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %new = "agent.chat"(%p) {id = "chat_2", opts = {}} : (!agent.value<"str">) -> !agent.value<"Chat">
  %l, %cl = "agent.generate"(%k, %new) {id = "llm_7", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%l, %cl) : (!agent.value<"str">, !agent.value<"Chat">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      "op.kv_pin"({{%.+}}#1) {id = "llm_1.pin", opts = {because = "waits for a human", tool = "ask", turns_left = {{.*}}ttl_s = 0.000000e+00
// CHECK:      [[B:%.+]]:2 = "agent.generate"{{.*}}id = "llm_2"
// CHECK-NEXT: "op.kv_pin"([[B]]#1) {id = "llm_2.pin", opts = {shared = true, tool = "walk", turns_left = 2.0
// CHECK-NEXT: [[R:%.+]] = "agent.race"
// CHECK:      "op.kv_release"({{.*}}id = "llm_3.release"
// CHECK:      id = "race_1", opts = {}
// CHECK-DAG:  "op.kv_supersede"([[R]]) {id = "race_1.supersede", opts = {over = 0 : i64, scope = "race_1"}
// CHECK-DAG:  "op.kv_supersede"([[B]]#1, [[R]]) {id = "llm_2.supersede", opts = {over = 1 : i64}
// CHECK:      "op.kv_pin"({{%.+}}#1) {id = "llm_5.pin", opts = {because = "waits for longer than a pin lasts", tool = "slow", turns_left = 1.000000e+00 : f64, typical_s = 9.000000e+02 : f64}, {{.*}}ttl_s = 0.000000e+00
// CHECK:      [[Y:%.+]]:2 = "agent.generate"{{.*}}id = "llm_6"
// CHECK-NEXT: "op.kv_supersede"([[Y]]#1) {id = "llm_6.supersede", opts = {over = 1 : i64}
// CHECK:      "agent.generate"{{.*}}id = "llm_7", model = "m", opts = {}
// CHECK-NEXT: "agent.yield"
