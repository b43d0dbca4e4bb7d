#!/usr/bin/env python3
"""What the comparison itself promises, above all that it says "different". `python3 -B tests/wild/test_wild.py`."""

import copy
import unittest

from wild import checks, rawjson, table
from wild.direct import Seen
from wild.shown import Shown
from wild.stdio import Answer, Heard

TOOL = '{"name":"add","description":"Adds \\u00fc","inputSchema":{"type":"object", "x":1.0}}'
APP = '{"name":"draw","inputSchema":{},"_meta":{"ui":{"visibility":["app"]}}}'
RESOURCE = '{"uri":"a://b","name":"B"}'
CONTENT = '[{"type":"text","text":"4"}]'


def server(**more):
    given = {"name": "s", "source": "npm", "package": "p", "version": "1", "program": "p", "why": "w", **more}
    return table._server(given, "here")


def seen():
    lists = {"tools": [TOOL, APP], "resources": [RESOURCE], "templates": [], "prompts": ["{}"]}
    return Seen(
        "2025-11-25",
        lists=lists,
        call=Answer(f'{{"content":{CONTENT}}}'),
        read=Answer('{"contents":[{"uri":"a://b","text":"x"}]}'),
        unknown=Answer(error='{"code":-32602,"message":"no"}'),
        heard=Heard(["\x1b[1mhello\x1b[0m"], ["began 17"], [{"level": "info", "data": {"message": "licence"}}]),
    )


def shown():
    return Shown(
        "ready",
        protocol="2025-11-25",
        tools=[
            '{"name":"add","description":"Adds ü","input_schema":{"type":"object", "x":1.0},"pin":"pinned"}',
            '{"name":"draw","description":null,"input_schema":{}}',
        ],
        api_tools=['{"name":"add","description":"Adds ü","parameters":{"type":"object", "x":1.0}}'],
        resources=[RESOURCE],
        counts={"resources": 1, "prompts": 1},
        call=(200, f'{{"success":true,"data":{{"result":"4","content":{CONTENT},"is_error":false}}}}'),
        unknown=(404, '{"success":false,"error":{"code":"tool_not_found"}}'),
        read=(200, '{"success":true,"data":{"contents":[{"name":"B","uri":"a://b","text":"x"}]}}'),
        log=[
            {"stream": "stdout", "line": "\\u{1b}[1mhello"},
            {"stream": "stderr", "line": "began 4"},
            {"stream": "log", "line": "info: licence"},
        ],
        output={"stdout_noise_lines": 1},
    )


def modern():
    return Seen("2026-07-28", lists=seen().lists, call=seen().call, read=seen().read, unknown=seen().unknown)


def places(plain=None, gateway=None, **more):
    plain, gateway = plain or seen(), gateway or shown()
    return [fault.at for fault in checks.verdict(server(**more), plain, None, gateway).faults]


class ADifferenceIsFound(unittest.TestCase):
    def test_and_there_is_none_where_all_is_equal(self):
        self.assertEqual(places(), [])

    def test_in_the_era_but_for_one_of_both_that_began_late(self):
        for late, found in ((False, ["era"]), (True, [])):
            faults = checks.verdict(server(era="both"), seen(), modern(), shown(), late).faults
            self.assertEqual([fault.at for fault in faults], found)
        other = shown()
        other.protocol = "2026-07-28"
        faults = checks.verdict(server(), seen(), None, other, True).faults
        self.assertEqual([fault.at for fault in faults], ["era"])

    def test_in_every_thing_that_the_gateway_shows(self):
        changes = {
            "tools": lambda it: it.tools.reverse(),
            "tools.add.description": lambda it: self.swap(it.tools, "Adds", "adds"),
            "tools.add.input_schema": lambda it: self.swap(it.tools, "1.0", "1"),
            "tools.add.surprise": lambda it: self.swap(it.tools, '"pin"', '"surprise"'),
            "api.tools": lambda it: it.api_tools.append('{"name":"draw","description":"","parameters":{}}'),
            "api.tools.add.description": lambda it: self.swap(it.api_tools, "Adds", "adds"),
            "api.tools.add.parameters": lambda it: self.swap(it.api_tools, '"object", ', '"object",'),
            "resources.count": lambda it: it.resources.clear(),
            "resources.a://b": lambda it: self.swap(it.resources, '"B"', '"C"'),
            "templates.count": lambda it: it.templates.append("{}"),
            "prompts.count": lambda it: it.counts.update(prompts=2),
            "call.status": lambda it: setattr(it, "call", (502, it.call[1])),
            "call.content": lambda it: setattr(it, "call", (200, it.call[1].replace('"4"}]', '"4" }]'))),
            "call.result": lambda it: setattr(it, "call", (200, it.call[1].replace('"result":"4"', '"result":4'))),
            "unknown_tool": lambda it: setattr(it, "unknown", (422, it.unknown[1])),
            "read.0": lambda it: setattr(it, "read", (200, it.read[1].replace('"x"', '"y"'))),
            "read.count": lambda it: setattr(it, "read", (200, '{"data":{"contents":[]}}')),
            "noise.count": lambda it: it.output.update(stdout_noise_lines=0),
            "noise": lambda it: it.log.pop(0),
            "stderr": lambda it: it.log.pop(1),
            "logs": lambda it: it.log.pop(2),
            "era": lambda it: setattr(it, "protocol", "2026-07-28"),
        }
        for place, change in changes.items():
            gateway = shown()
            change(gateway)
            self.assertIn(place, places(gateway=gateway), place)

    def test_where_a_server_is_not_served_at_all(self):
        gateway = Shown("backoff", cause="exited with code 1")
        self.assertEqual(places(gateway=gateway), ["ready"])

    def test_where_the_table_is_out_of_date(self):
        self.assertEqual(places(era="both"), ["table.era"])
        self.assertEqual(places(protocol="2024-11-05"), ["table.protocol"])

    def test_in_the_kind_and_the_words_of_a_failed_call(self):
        plain, gateway = seen(), shown()
        plain.call = Answer(error='{"code":-32603,"message":"out of \\"paper\\""}')
        gateway.call = (502, '{"error":{"details":{"mcp_error":"out of \\"paper\\""}}}')
        self.assertEqual(places(plain, gateway), [])
        gateway.call = (422, '{"error":{"details":{"mcp_error":"out of ink"}}}')
        self.assertEqual(places(plain, gateway), ["call.status", "call.message"])
        plain.call = Answer(f'{{"content":{CONTENT},"isError":true}}')
        gateway.call = (422, f'{{"error":{{"details":{{"mcp_error":"4","content":{CONTENT}}}}}}}')
        self.assertEqual(places(plain, gateway), [])
        gateway.call = (422, f'{{"error":{{"details":{{"mcp_error":"5","content":{CONTENT}}}}}}}')
        self.assertEqual(places(plain, gateway), ["call.mcp_error"])

    def test_between_a_null_and_the_text_beside_it(self):
        plain, gateway = seen(), shown()
        plain.call = Answer('{"content":[{"type":"text","text":"null"}],"structuredContent":null}')
        gateway.call = (200, '{"data":{"result":"null","content":[{"type":"text","text":"null"}]}}')
        self.assertEqual(places(plain, gateway), ["call.result"])

    def test_and_a_modern_connection_is_the_reference_where_there_is_one(self):
        modern, gateway = copy.deepcopy(seen()), shown()
        modern.protocol = gateway.protocol = "2026-07-28"
        modern.lists["tools"][0] = modern.lists["tools"][0].replace("Adds", "Sums")
        found = checks.verdict(server(era="both"), seen(), modern, gateway).faults
        self.assertEqual([fault.at for fault in found], ["tools.add.description", "api.tools.add.description"])

    @staticmethod
    def swap(texts, old, new):
        assert old in texts[0]
        texts[0] = texts[0].replace(old, new)


OPENED = '{"instructions":"Add.","serverInfo":{"name":"s","version":"1"}}'
OPENED_MODERN = '{"instructions":"Add.","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}'


def at_the_door(era):
    """What a client of the era sees of the same server."""
    door = seen()
    door.opened, door.lists["templates"] = OPENED, []
    if era == "modern":
        door.protocol, door.opened = "2026-07-28", OPENED_MODERN
        door.call = Answer(f'{{"content":{CONTENT},"resultType":"complete","_meta":{{"io.modelcontextprotocol/x":1}}}}')
    return door


def door_places(era, change=lambda _: None, plain=None):
    """Where the door's differences are, without the era in front."""
    gateway, plain = shown(), plain or seen()
    plain.opened = OPENED
    gateway.mcp = {era: at_the_door(era)}
    change(gateway.mcp[era])
    found = [fault.at for fault in checks.verdict(server(), plain, None, gateway).faults]
    assert all(at.startswith(f"mcp.{era}.") for at in found), found
    return [at.split(".", 2)[2] for at in found]


class ADifferenceIsFoundAtTheDoor(unittest.TestCase):
    def test_and_there_is_none_where_all_is_equal(self):
        self.assertEqual((door_places("legacy"), door_places("modern")), ([], []))

    def test_in_every_thing_that_a_client_sees(self):
        swap = ADifferenceIsFound.swap
        changes = {
            "version": lambda it: setattr(it, "protocol", "2025-06-18"),
            "instructions": lambda it: setattr(it, "opened", it.opened.replace("Add", "Sum")),
            "server.name": lambda it: setattr(it, "opened", it.opened.replace('"s"', '"t"')),
            "tools": lambda it: it.lists["tools"].reverse(),
            "tools.add.description": lambda it: swap(it.lists["tools"], "Adds", "adds"),
            "tools.add.inputSchema": lambda it: swap(it.lists["tools"], "1.0", "1"),
            "tools.add.more": lambda it: swap(it.lists["tools"], '"name"', '"more":1,"name"'),
            "resources.a://b.name": lambda it: swap(it.lists["resources"], '"B"', '"C"'),
            "templates": lambda it: it.lists["templates"].append('{"uriTemplate":"a://{b}"}'),
            "prompts": lambda it: it.lists["prompts"].clear(),
            "call.content": lambda it: setattr(it, "call", Answer(it.call.result.replace('"4"', '"5"'))),
            "call.structuredContent": lambda it: self.more(it, '"structuredContent":4'),
            "call.isError": lambda it: self.more(it, '"isError":true'),
            "call._meta.own": lambda it: self.more(it, '"_meta":{"own":1}'),
            "call.error.code": lambda it: setattr(it, "call", Answer(error='{"code":-32603}')),
            "read.0": lambda it: setattr(it, "read", Answer(it.read.result.replace('"x"', '"y"'))),
            "read.error": lambda it: setattr(it, "read", Answer(error='{"message":"no"}')),
            "unknown_tool": lambda it: setattr(it, "unknown", Answer("{}")),
        }
        for era in ("legacy", "modern"):
            for place, change in changes.items():
                self.assertIn(place, door_places(era, change), f"{era} {place}")

    def test_where_an_era_is_not_served_at_all(self):
        gateway = shown()
        gateway.mcp = {"modern": "nothing"}
        self.assertEqual(places(gateway=gateway), ["mcp.modern.open"])

    def test_in_how_a_result_ends_which_only_one_era_says(self):
        bare = at_the_door("legacy").call
        self.assertEqual(door_places("modern", lambda it: setattr(it, "call", bare)), ["call.resultType"])

    def test_and_tasks_are_for_the_older_era_only(self):
        plain = seen()
        plain.lists["tools"][0] = plain.lists["tools"][0].replace('"name"', '"execution":{},"name"')
        gateway_too = lambda it: it.lists.update(tools=plain.lists["tools"])  # noqa: E731
        # `/v1` shows it under its name, which is not what is tried here.
        self.assertEqual(door_places("legacy", gateway_too, copy.deepcopy(plain)), [])
        self.assertEqual(door_places("modern", plain=copy.deepcopy(plain)), [])
        self.assertEqual(door_places("modern", gateway_too, copy.deepcopy(plain)), ["tools.add.execution"])

    @staticmethod
    def more(door, member):
        """Another member behind those of the result; it takes the place of one of its name."""
        door.call = Answer(f"{door.call.result[:-1]},{member}}}")


class AReasonExcuses(unittest.TestCase):
    def test_its_own_place_and_no_other(self):
        gateway = shown()
        gateway.resources, gateway.tools[0] = [], gateway.tools[0].replace("Adds", "adds")
        reasons = [{"at": "tools.add.description", "reason": "it is moody"}, {"at": "read.*", "reason": "of old"}]
        found = checks.verdict(server(differences=reasons), seen(), None, gateway)
        self.assertEqual([fault.at for fault in found.faults], ["resources.count"])
        self.assertEqual([difference.at for difference, _ in found.accepted], ["tools.add.description"])
        self.assertEqual([known.at for known in found.unneeded], ["read.*"])

    def test_an_order_of_words_and_not_other_words(self):
        reasons = [{"at": "tools.add.description", "still": "the same words", "reason": "a set is printed"}]
        plain, gateway = seen(), shown()
        plain.lists["tools"][0] = plain.lists["tools"][0].replace("Adds \\u00fc", "one, two")
        gateway.tools[0] = gateway.tools[0].replace("Adds ü", "two, one")
        gateway.api_tools[0] = gateway.api_tools[0].replace("Adds ü", "one, two")
        self.assertEqual(places(plain, gateway, differences=reasons), [])
        gateway.tools[0] = gateway.tools[0].replace("two, one", "two, ten")
        self.assertEqual(places(plain, gateway, differences=reasons), ["tools.add.description"])

    def test_what_a_mask_fits_and_nothing_beside_it(self):
        masks = [{"at": "call.*", "pattern": "[0-9]+ ms", "reason": "a time"}]
        plain, gateway = seen(), shown()
        plain.call = Answer('{"content":[{"type":"text","text":"took 5 ms"}]}')
        told = '{"data":{"result":"took 7 ms","content":[{"type":"text","text":"took 7 ms"}]}}'
        gateway.call = (200, told)
        self.assertEqual(places(plain, gateway, masks=masks), [])
        gateway.call = (200, told.replace("took", "was"))
        self.assertEqual(places(plain, gateway, masks=masks), ["call.content", "call.result"])


class JsonKeepsItsText(unittest.TestCase):
    def test_of_members_and_elements_however_they_are_written(self):
        text = ' { "a" : [ 1.0 ,{ } ] , "b":"\\u00fc" ,"a":1e2 } '
        self.assertEqual(rawjson.members(text), {"a": "1e2", "b": '"\\u00fc"'})
        self.assertEqual(rawjson.elements("[ 1.0 ,{ } ]"), ["1.0", "{ }"])
        self.assertEqual((rawjson.elements(" [ ] "), rawjson.members("{}")), ([], {}))

    def test_and_what_is_none_is_refused(self):
        for text in ("", "{", "[]", '{"a":1', '{"a":1}x', '{"a" 1}', "{1:2}", '{"a":1,}'):
            with self.assertRaises(ValueError, msg=text):
                rawjson.members(text)
        for text in ("", "[", "{}", "[1", "[1]]", "[1 2]"):
            with self.assertRaises(ValueError, msg=text):
                rawjson.elements(text)

    def test_without_its_first_member(self):
        self.assertEqual(rawjson.without_leading_member('{"name":"B","uri":"a", "x":1}', "name"), '{"uri":"a", "x":1}')
        self.assertEqual(rawjson.without_leading_member('{"name":"B"}', "name"), "{}")
        self.assertEqual(rawjson.without_leading_member('{"uri":"a","name":"B"}', "name"), '{"uri":"a","name":"B"}')


class TheTable(unittest.TestCase):
    def test_has_thirty_servers_with_reasons_of_which_six_are_short(self):
        servers = table.read()
        self.assertEqual((len(servers), len(table.chosen(servers, short=True))), (30, 6))

    def test_refuses_what_it_does_not_know(self):
        wrong = [
            {"diferences": []},
            {"source": "cargo"},
            {"era": "modern"},
            {"name": "../x"},
            {"call": {"tool": "x"}},
            {"call": {"tool": "x", "arguments": []}},
            {"masks": [{"at": "call", "pattern": "(", "reason": "r"}]},
            {"differences": [{"at": "call", "reason": ""}]},
            {"differences": [{"at": "call", "reason": "r", "still": "similar"}]},
            {"differences": [{"at": "call"}]},
        ]
        for more in wrong:
            with self.assertRaises(table.Wrong, msg=more):
                server(**more)

    def test_a_name_that_is_not_there_is_an_error_and_not_an_empty_choice(self):
        with self.assertRaises(table.Wrong):
            table.chosen([server()], only="s,t")


if __name__ == "__main__":
    unittest.main()
