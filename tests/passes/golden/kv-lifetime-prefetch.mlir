// RUN: kv-lifetime
// What is known before a tool answers is prefetched while it runs, once for calls that start alike; a conversation that
// only a loop carries is over with the loop.
"agent.declare_tool"() {name = "run", path = "", code = "", effects = "once", params = ["x"], types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %s = "agent.prompt"() {id = "prompt_1", parts = ["You answer from the rows alone, briefly, with every number as it stands there. Never guess, never round, and say so when the rows do not tell."], opts = {}} : () -> !agent.value<"str">
  %c0 = "agent.chat"(%s) {id = "chat_1", opts = {}} : (!agent.value<"str">) -> !agent.value<"Chat">
  %rows = "agent.tool"(%q) {id = "run_1", callee = "run", params = ["x"], effects = "once", opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %a, %c1 = "agent.generate"(%rows, %c0) {id = "llm_1", model = "m", returns = "str", samples = 1 : i64, opts = {static_prefix_chars = 141 : i64}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %p = "agent.prompt"(%a) {id = "prompt_2", parts = ["You answer from the rows alone, briefly, with every number as it stands there. Never guess, never round, and say so when the rows do not tell.", "?"], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %b, %d = "agent.generate"(%p) {id = "llm_2", model = "m", returns = "str", samples = 1 : i64, opts = {static_prefix_chars = 141 : i64, prefix_group = "g"}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %p2 = "agent.prompt"(%b) {id = "prompt_3", parts = ["You answer from the rows alone, briefly, with every number as it stands there. Never guess, never round, and say so when the rows do not tell.", "!"], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  %e, %f = "agent.generate"(%p2) {id = "llm_3", model = "m", returns = "str", samples = 1 : i64, opts = {static_prefix_chars = 141 : i64, prefix_group = "g"}} : (!agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %x, %end = "agent.loop"(%e, %c1) ({
  ^bb0(%s0: !agent.value<"str">, %s1: !agent.value<"Chat">):
    %no = "agent.const"() {id = "const_1", value = "false", opts = {}} : () -> !agent.value<"bool">
    "agent.yield"(%no) : (!agent.value<"bool">) -> ()
  }, {
  ^bb0(%s0: !agent.value<"str">, %s1: !agent.value<"Chat">):
    %r, %c = "agent.generate"(%s0, %s1) {id = "llm_4", model = "m", returns = "str", samples = 1 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
    "agent.yield"(%r, %c) : (!agent.value<"str">, !agent.value<"Chat">) -> ()
  }) {id = "loop_1", max = 3 : i64, opts = {}} : (!agent.value<"str">, !agent.value<"Chat">) -> (!agent.value<"str">, !agent.value<"Chat">)
  "agent.yield"(%x) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()

// CHECK:      [[C:%.+]] = "agent.chat"
// CHECK-NEXT: "op.kv_prefetch"([[C]]) {id = "llm_1.prefetch"
// CHECK-NEXT: [[P:%.+]] = "agent.prompt"() {id = "llm_2.prefix", opts = {}, parts = ["You answer
// CHECK-NEXT: "op.kv_prefetch"([[P]]) {id = "llm_2.prefetch"
// CHECK-NEXT: "agent.tool"
// CHECK-NOT:  kv_prefetch
// CHECK:      [[L:%.+]]:2 = "agent.loop"
// CHECK:      "op.kv_release"([[L]]#1) {id = "loop_1.release.1"
// CHECK-NEXT: "agent.yield"([[L]]#0)
