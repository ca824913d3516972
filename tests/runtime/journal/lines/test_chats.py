"""Conversations are stored as a tree of messages, each once."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from orchestrator import Chat
from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.runtime.journal.lines.chats import Chats, mentioned
from orchestrator.runtime.journal.lines.stored import decode, encode, loads
from orchestrator.runtime.journal.values.tree import NotReadError
from orchestrator.runtime.values.at_run_time import Conversation

LONG = "a long answer " * 10


class Markup(str):
    pass


def turn(talk: Conversation, said: str, reply: str) -> Conversation:
    return talk.then((Message("user", said),), Message("assistant", reply), "session", "engine")


def read(texts: list[str]) -> Chats:
    chats = Chats()
    for each in texts:
        chats.add(loads(each))
    return chats


def test_each_message_is_stored_once_and_a_conversation_is_a_number() -> None:
    chats, talk = Chats(), Conversation((Message("system", "be brief"),), "m")
    texts, nodes = [], []
    for number in range(3):
        talk = turn(talk, f"question {number}", f"answer {number}")
        texts.append(encode(Chat, talk, chats))
        nodes += chats.take_fresh()
        assert len(nodes) == 3 + 2 * number
    assert chats.take_fresh() == []
    assert decode(Chat, loads(texts[-1]), read(nodes)) == talk
    assert len(decode(Chat, loads(texts[0]), read(nodes)).messages) == 3


def test_a_long_conversation_costs_little_more_than_what_is_said() -> None:
    chats, talk, written, said = Chats(), Conversation(), 0, 0
    for number in range(200):
        looked_up, reply = f"{number} é" * 250, f"{number} ü" * 250
        texts = [encode(str, looked_up, chats)]
        talk = turn(talk, looked_up, reply)
        said += sum(len(each.content.encode()) for each in talk.messages[-2:])
        texts += [encode(str, reply, chats), encode(Chat, talk, chats), encode(str, looked_up, chats)]
        written += sum(len(each.encode()) for each in [*texts, *chats.take_fresh()])
    assert said > 400_000
    assert written <= 1.1 * said


def test_conversations_that_begin_alike_share_their_messages() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    left, right = turn(talk, "c", "d"), turn(talk, "c", "e")
    assert chats.number(left) == 4
    assert chats.number(right) == 5
    again = Conversation((*talk.messages, *left.messages[2:]))
    assert chats.number(again) == 4
    assert len(chats.take_fresh()) == 5


def test_a_conversation_that_was_numbered_is_gone_through_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    chats, talk = Chats(), Conversation()
    seen: list[Message] = []
    after = Chats._after

    def noted(self: Chats, parent: int, message: Message) -> int:
        seen.append(message)
        return after(self, parent, message)

    monkeypatch.setattr(Chats, "_after", noted)
    for number in range(50):
        talk = turn(talk, f"q{number}", f"a{number}")
        chats.number(talk)
        chats.number(talk)
    assert len(seen) == 100


def test_what_is_remembered_is_no_part_of_the_conversation() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    same = turn(Conversation(), "a", "b")
    chats.number(talk)
    assert talk == same
    assert hash(talk) == hash(same)
    assert repr(talk) == repr(same)
    other = dataclasses.replace(talk, messages=(Message("user", "else"),))
    assert chats.number(other) != chats.number(talk)
    assert chats.conversation(chats.number(other), None, None, None, False).messages == other.messages


def test_another_tree_knows_nothing_of_it() -> None:
    talk = turn(Conversation(), "a", "b")
    Chats().number(talk)
    for each in (talk, copy.copy(talk), pickle.loads(pickle.dumps(talk))):
        chats = Chats()
        chats.number(turn(Conversation(), "other", "messages"))
        assert len(chats.take_fresh()) == 2
        assert chats.number(each) == 4
        assert len(chats.take_fresh()) == 2


def test_a_conversation_that_was_read_goes_on_from_where_it_is() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    text = encode(Chat, talk, chats)
    chats = read(chats.take_fresh())
    talk = turn(decode(Chat, loads(text), chats), "c", "d")
    assert chats.number(talk) == 4
    assert [loads(each)[:2] for each in chats.take_fresh()] == [[3, 2], [4, 3]]


def test_a_snapshot_has_what_is_needed_and_no_more() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    dead, live = turn(talk, "c", "d"), turn(talk, "e", "f")
    chats.number(dead)
    text = encode(tuple[Chat, Chat], (live, talk), chats)
    assert mentioned(text) == {2, 6}
    chats.take_fresh()
    kept = chats.keep(mentioned(text))
    assert [loads(each)[0] for each in kept] == [1, 2, 5, 6]
    assert [loads(each) for each in chats.keep([2])][2:] == [[6, 0, None]]
    assert decode(Any, loads(text), read(kept)) == (live, talk)
    assert read(kept).number(turn(live, "g", "h")) == 8


def test_a_number_is_not_given_again_though_its_message_was_left_out() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    dead = turn(talk, "c", "d")
    chats.number(dead)
    chats.take_fresh()
    assert chats.number(turn(decode(Chat, {"~chat": [2, None, None, None, False]}, chats), "e", "f")) == 6
    again = read(chats.keep([2]))
    assert again.number(turn(talk, "g", "h")) == 8


def test_what_is_forgotten_is_stored_anew_if_it_goes_on() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    dead, live = turn(talk, "c", LONG), turn(talk, "e", "f")
    kept = [chats.number(live)]
    chats.number(dead)
    nodes = chats.take_fresh()
    assert [loads(each)[0] for each in chats.keep(kept)] == [1, 2, 3, 4, 6]
    assert encode(str, LONG, chats).count("long") == 10
    number = chats.number(turn(dead, "g", "h"))
    assert [loads(each)[:2] for each in chats.take_fresh()] == [[7, 2], [8, 7], [9, 8], [10, 9]]
    assert number == 10
    with pytest.raises(NotReadError):
        chats.message(loads(nodes[-1])[0])


def test_what_has_yet_to_be_stored_is_not_forgotten() -> None:
    chats, talk = Chats(), turn(Conversation(), "a", "b")
    chats.number(talk)
    chats.take_fresh()
    text = encode(Chat, turn(talk, "c", "d"), chats)
    snapshot = chats.keep([])
    assert decode(Chat, loads(text), read([*snapshot, *chats.take_fresh()])) == turn(talk, "c", "d")


def test_a_text_of_another_class_stays_one() -> None:
    chats = Chats()
    talks = [Conversation((Message("assistant", content),)) for content in (LONG, Markup(LONG), LONG)]
    texts = [encode(Chat, each, chats) for each in talks]
    stored = read(chats.take_fresh())
    found = [decode(Chat, loads(each), stored).messages[0].content for each in texts]
    assert list(map(type, found)) == [str, Markup, str]
    assert type(decode(str, loads(encode(str, LONG, chats)), stored)) is str


def test_a_text_is_not_taken_for_the_name_of_a_conversation() -> None:
    value = ['{"~chat":[7,', {"~chat": [7]}, {"a": {"~said": 7}}]
    assert mentioned(encode(Any, value, None)) == set()


def test_a_reply_is_not_written_beside_its_message() -> None:
    chats = Chats()
    calls = [ToolCall("search", LONG, "1")]
    talk = turn(Conversation(), "a", LONG)
    talk = talk.then((), Message("assistant", "", calls=tuple(calls)), None, None)
    chats.number(talk)
    stored = read(chats.take_fresh())
    for value in (LONG, Reply(LONG), Reply("", calls, is_final=False), Reply(LONG, problem="no")):
        text = encode(type(value), value, chats)
        assert len(text) < 40
        assert mentioned(text) <= {2, 3}
        assert decode(type(value), loads(text), stored) == value
    assert encode(str, "short", chats) == '"short"'
    assert encode(Reply, Reply("", [ToolCall("search", LONG, "2")]), chats).count("long") > 5


@pytest.mark.parametrize(
    "node",
    [
        3,
        [1],
        [1, 2, {"~message": {"role": "user"}}],
        [1, 0, {"~date": "x"}],
        [1, 0, 5],
        ["1", 0, {}],
        [1, 1, {"~message": {"role": "user"}}],
        [1, "", {"~message": {"role": "user"}}],
        [2, 1, None],
    ],
)
def test_a_message_that_is_none_is_refused(node: Any) -> None:
    with pytest.raises(NotReadError):
        Chats().add(node)


def test_one_number_is_one_message() -> None:
    chats = read(['[1,0,{"~message":{"role":"user"}}]'] * 2)
    with pytest.raises(NotReadError):
        chats.add([1, 0, {"~message": {"role": "system"}}])


def test_a_conversation_of_which_messages_are_missing_is_refused() -> None:
    with pytest.raises(NotReadError, match="message 7"):
        decode(Chat, {"~chat": [7, None, None, None, False]}, Chats())


def test_a_long_text_is_stored_once_whoever_has_it() -> None:
    chats, found = Chats(), "found " * 60
    texts = [encode(str, found, chats)]
    talk = turn(Conversation(), found, f"I found {found}")
    texts += [encode(Chat, talk, chats), encode(str, found, chats), encode(Reply, Reply(found), chats)]
    nodes = chats.take_fresh()
    assert [loads(each)[:2] + loads(each)[3:] for each in nodes] == [[1, 0], [2, 0, 1], [3, 2]]
    stored = read(nodes)
    assert [decode(Any, loads(each), stored) for each in texts] == [found, talk, found, Reply(found)]
    kept = read(chats.keep(mentioned(texts[1])))
    assert decode(Chat, loads(texts[1]), kept) == talk
    assert chats.keep([]) == ["[3,0,null]"]


def test_a_text_that_is_short_or_of_another_class_is_written_as_it_is() -> None:
    chats = Chats()
    assert encode(str, "short " * 20, chats) == '"' + "short " * 20 + '"'
    assert "~said" not in encode(str, Markup("marked " * 60), chats)
    assert chats.take_fresh() == []


@pytest.mark.parametrize(
    "node", [[2, 1, "text"], [2, 0, "text", 1], [2, 0, {"~message": {"role": "user"}}, 3], [3, 2, 5]]
)
def test_a_text_that_is_no_node_is_refused(node: Any) -> None:
    chats = read(['[1,0,"a text"]'])
    with pytest.raises(NotReadError):
        chats.add(node)
    with pytest.raises(NotReadError):
        decode(Chat, {"~chat": [1, None, None, None, False]}, chats)


def test_halves_of_characters_in_messages_stay() -> None:
    chats, talk = Chats(), turn(Conversation(), "\ud83d", "NaN")
    text = encode(Chat, talk, chats)
    assert decode(Chat, loads(text), read(chats.take_fresh())) == talk
