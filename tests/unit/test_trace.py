"""The way of a message from the logs of all machines.

The logs in maillogs/ were collected from real machines, one case after the other; only names were changed.
"""

import re
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

from labenv.errors import UsageError
from labenv.mail import maillog
from labenv.mail.maillog import Delivery
from labenv.mail.postroom import Postroom, parse
from labenv.mail.reasons import reason
from labenv.mail.telling import Scene
from labenv.mail.trace import Trace, Tracer, delivered_file

MACHINES = {"192.168.90.1": "host", "192.168.90.3": "vm2", "192.168.90.4": "vm3"}
SCENE = Scene(MACHINES, "asmith15.ops")
NOW = datetime(2026, 11, 23)
ANNA = "asmith15@asmith15.ops"
AGENT = "Dovecot's delivery agent fails: it runs as nobody, not as root, and nobody may not enter /root"


@cache
def log(machine: str) -> str:
    return (Path(__file__).parent / "maillogs" / f"{machine}.log").read_text()


def excerpt(machine: str, case: str) -> str:
    """The part of a machine's log that begins with the mark of that case."""
    parts = re.split(r"(?m)^(?=.* MARK: )", log(machine))
    return next((part for part in parts if re.match(rf".* MARK: {case}\n", part)), "")


def rooms(case: str, queues: dict[str, str] | None = None) -> dict[str, Postroom | str]:
    """The queues after a case: what is not removed waits in the deferred queue."""
    there: dict[str, Postroom | str] = {}
    for machine in ("vm2", "vm3"):
        read = maillog.read(excerpt(machine, case), NOW)
        waiting = {hop.queue_id: "deferred" for hop in read.hops if not hop.removed}
        there[machine] = Postroom(read, waiting if queues is None else queues)
    return there


def traced(case: str, wanted: str = "latest", queues: dict[str, str] | None = None) -> Trace:
    return Tracer(rooms(case, queues), SCENE).trace(wanted)


def words(trace: Trace) -> list[str]:
    return [f"{moment.machine}: {moment.words}" for moment in trace.moments]


def test_the_way_from_a_command_line_to_a_maildir() -> None:
    trace = traced("user")
    assert (trace.id, trace.sender) == ("20261122232523.95EE128A034@vm2.asmith15.ops", "root@asmith15.ops")
    assert words(trace) == [
        "vm2: root submits it to Postfix on vm2; its queue id there is 95EE128A034",
        "vm2: its message id is 20261122232523.95EE128A034@vm2.asmith15.ops",
        "vm2: it is in the queue of vm2: from root@asmith15.ops, 288 bytes, 1 recipient",
        f"vm2: vm2 sends it to vm3, for {ANNA}, where its queue id is A869F28A036",
        "vm2: vm2 is done with it",
        "vm3: vm3 accepts it over SMTP from vm2; its queue id there is A869F28A036",
        "vm3: its message id is 20261122232523.95EE128A034@vm2.asmith15.ops",
        "vm3: it is in the queue of vm3: from root@asmith15.ops, 452 bytes, 1 recipient",
        "vm3: Dovecot's delivery agent on vm3 saves it for asmith15 in INBOX",
        f"vm3: vm3 passes it to /usr/libexec/dovecot/dovecot-lda for {ANNA}",
        "vm3: vm3 is done with it",
    ]
    [end] = trace.ends
    assert (end.state, end.machine, end.user, end.queue_id) == ("delivered", "vm3", "asmith15", "A869F28A036")
    assert all(len(moment.lines) == 1 and moment.lines[0] in log(moment.machine) for moment in trace.moments)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("vm3.asmth15.ops", "not in your domain asmith15.ops"),
        ("vm3.asmith15.op", "not in your domain asmith15.ops"),
        ("gmail.com", "outside the lab"),
        ("vm3.bjones3.ops", "outside the lab"),
    ],
)
def test_a_misspelt_domain_is_not_called_outside(name: str, which: str) -> None:
    words = f"Host or domain name not found. Name service error for name={name} type=MX: Host not found, try again"
    deferred = Delivery(ANNA, "", "none", "deferred", words, "4.4.3", datetime(2026, 11, 22))
    assert reason(deferred, "vm2", machines={}, domain="asmith15.ops").endswith(f"{name}, which is {which}")


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (
            "elsewhere",
            "stopped on vm3: deferred, because the DNS gives no answer about example.org, which is outside the lab",
        ),
        (
            "no-mail-location",
            "stopped on vm3: deferred, because Dovecot's delivery agent fails: it does not know where to store mail: "
            "mail_location is not set, and asmith15 has no mailbox yet",
        ),
        (
            "lda-missing",
            "stopped on vm3: bounced, because mailbox_command names /usr/lib/dovecot/nolda, which does not exist on vm3; "
            "the notice about it to root@asmith15.ops stopped for the same reason",
        ),
        (
            "denied",
            "stopped on vm2: deferred, because vm3 neither accepts mail for asmith15.ops as its own domain "
            "(mydestination) nor relays mail from vm2 (mynetworks)",
        ),
        (
            "loop",
            "stopped on vm3: bounced, because the DNS sends mail for asmith15.ops to vm3 itself, but vm3 does not accept "
            "asmith15.ops as its own domain (mydestination); the notice about it to root@asmith15.ops stopped for the "
            "same reason",
        ),
        (
            "nomx",
            "stopped on vm2: bounced, because the DNS has neither a mail exchanger (MX) nor an address for asmith15.ops; "
            "the notice about it to root@asmith15.ops stopped for the same reason",
        ),
        (
            "mxdot",
            "stopped on vm2: bounced, because the DNS sends it to vm3.asmith15.ops.asmith15.ops, which does not exist: the "
            "name contains the domain twice; the notice about it to root@asmith15.ops stopped for the same reason",
        ),
        (
            "zonebroken",
            "stopped on vm2: deferred, because the DNS gives no answer about asmith15.ops: the name server is not running, "
            "or has not loaded the zone",
        ),
        ("discard", "stopped on vm2: discarded, because a Postfix table there says so (discard)"),
        (
            "config",
            "stopped on vm3: deferred, because Dovecot cannot read its configuration: "
            "/etc/dovecot/conf.d/10-mail.conf line 179: Unknown setting: mail_locaton",
        ),
        (
            "unwritable",
            "stopped on vm3: deferred, because Dovecot's delivery agent fails: it runs as asmith15, who may not use "
            "/home/asmith15/Maildir/tmp",
        ),
    ],
)
def test_a_stop_is_explained(case: str, verdict: str) -> None:
    assert traced(case).verdict == verdict


def test_a_firewall_that_drops_and_one_that_rejects() -> None:
    tracer = Tracer(rooms("ipt"), SCENE)
    newest, before = tracer.recent()
    assert "its firewall rejects the connection" in tracer.trace(newest).verdict
    assert "its firewall drops the packets" in tracer.trace(before).verdict


def test_several_recipients_have_an_end_each() -> None:
    trace = traced("two")
    assert [(end.recipient, end.state) for end in trace.ends] == [
        ("root@asmith15.ops", "deferred"),
        (ANNA, "delivered"),
    ]
    assert trace.verdict.startswith(f"for root@asmith15.ops: stopped on vm3: deferred, because {AGENT}; for {ANNA}: ")


def test_what_the_agent_says_again_and_again_is_one_moment() -> None:
    [moment] = [moment for moment in traced("two").moments if "fails for root" in moment.words]
    assert len(moment.lines) == 3


def test_an_alias_keeps_the_address_it_was_for() -> None:
    [end] = traced("alias").ends
    assert (end.recipient, end.user, end.state) == ("root@asmith15.ops", "asmith15", "delivered")
    assert any("asmith15@asmith15.ops (it was for root@asmith15.ops)" in line for line in words(traced("alias")))


def test_the_way_of_a_notice_is_followed() -> None:
    trace = traced("bounce-to-user")
    [end] = trace.ends
    assert (end.state, end.reason, end.notice_to) == ("bounced", "vm3 has no account nobody9", ANNA)
    [back] = end.notice
    assert (back.state, back.machine, back.user) == ("delivered", "vm3", "asmith15")
    assert "vm3: the notice: Dovecot's delivery agent on vm3 saves it for asmith15 in INBOX" in words(trace)
    assert "vm3: vm3 refuses the message from vm2 for nobody9@asmith15.ops: vm3 has no account nobody9" in words(trace)


def test_a_notice_that_stops_says_where() -> None:
    assert traced("bounce-to-root").verdict == (
        "stopped on vm2: bounced, because vm3 has no account nobody9; a notice went back to root@asmith15.ops: "
        f"stopped on vm3: deferred, because {AGENT}"
    )


def test_a_notice_can_be_traced_by_itself() -> None:
    trace = traced("bounce-to-user", "20261122232526.6868428A04C@vm2.asmith15.ops")
    assert [end.state for end in trace.ends] == ["delivered"]


def test_a_message_that_is_forwarded_goes_on_under_another_queue_id() -> None:
    trace = traced("forward")
    assert "vm3: asmith15 on vm3 forwards mail: it continues as 0575728A057" in words(trace)
    assert trace.verdict.startswith("stopped on vm3: bounced, because vm3 has no account first;")


def test_a_retry_after_a_deferral() -> None:
    trace = traced("relayhost-typo")
    assert [end.state for end in trace.ends] == ["delivered"]
    told = words(trace)
    assert (
        f"vm2: vm2 cannot deliver it to {ANNA}, because the DNS does not know its relay host vm33.asmith15.ops; "
        "vm2 keeps it and will try again"
    ) in told
    assert "vm2: vm2 tries again" in told


def test_a_machine_that_refuses_connections_and_then_takes_them() -> None:
    trace = traced("vm3-down")
    assert any("nothing accepts connections on port 25 of vm3" in line for line in words(trace))
    assert [end.state for end in trace.ends] == ["delivered"]


def test_a_relay_host_that_is_no_name_leaves_no_line_about_the_message() -> None:
    before = excerpt("vm2", "brackets").partition("Nov 22 23:26:00")[0]
    room = Postroom(maillog.read(before, NOW), {"72DE428A076": "active"})
    trace = Tracer({"vm2": room}, SCENE).trace("latest")
    assert trace.verdict == (
        "still on vm2, because its relay host is vm3.<yourdomain>.ops, which still has the angle brackets of the sheet in it"
    )
    assert trace.moments[-1].lines[0].endswith("in server description: vm3.<yourdomain>.ops")


def test_the_latest_is_a_refused_attempt_when_that_is_newer() -> None:
    trace = traced("hostdenied")
    assert (trace.id, trace.sender) == ("", ANNA)
    assert words(trace) == [
        "vm2: host connects to vm2",
        f"vm2: vm2 refuses the message from host for {ANNA}: vm2 neither accepts mail for asmith15.ops as its own domain "
        "(mydestination) nor relays mail from host (mynetworks)",
        "vm2: host disconnects",
    ]
    assert trace.verdict.startswith("stopped on vm2: refused, because vm2 neither accepts mail for asmith15.ops")


@pytest.mark.parametrize(("order", "latest"), [(["user", "refused"], "refused"), (["refused", "user"], "sent on")])
def test_within_a_second_the_log_tells_which_came_last(order: list[str], latest: str) -> None:
    text = "".join(re.sub(r"(?m)^Nov 22 23:..:..", "Nov 22 23:30:00", excerpt("vm2", case)) for case in order)
    verdict = Tracer({"vm2": Postroom(maillog.read(text, NOW))}, SCENE).trace("latest").verdict
    assert latest in verdict.partition(",")[0]


def test_a_refusal_that_a_message_met_is_no_attempt_of_its_own() -> None:
    assert traced("denied").id == "20261122232628.BB02A28A008@vm2.asmith15.ops"
    assert traced("bounce-to-root").id == "20261122232527.B407428A020@vm2.asmith15.ops"


def test_refused_for_one_recipient_and_taken_for_another() -> None:
    trace = traced("half-refused")
    assert [(end.recipient, end.state) for end in trace.ends] == [
        ("nobody9@asmith15.ops", "refused"),
        (ANNA, "delivered"),
    ]
    assert any("vm3 refuses the message from host for nobody9@asmith15.ops" in line for line in words(trace))


def test_labenvs_own_probes_are_not_the_latest() -> None:
    probes = {
        "vm2": excerpt("vm2", "user").replace("20261122232523.", "labenv-check-0123.") + excerpt("vm2", "hostdenied")
    }
    text = probes["vm2"].replace("helo=<[192.168.90.1]>", "helo=<labenv-check.host.asmith15.ops>")
    with pytest.raises(UsageError, match=r"No machine's log has a message yet\. Send one and try again\."):
        Tracer({"vm2": Postroom(maillog.read(text, NOW))}, SCENE).trace("latest")


@pytest.mark.parametrize("wanted", ["tb-1@asmith15.ops", "<tb-1@asmith15.ops>", "8541728A04D", "8978828A04E"])
def test_a_message_is_found_by_any_of_its_ids(wanted: str) -> None:
    trace = traced("client", wanted)
    assert trace.id == "tb-1@asmith15.ops"
    assert words(trace)[0] == "vm2: vm2 accepts it over SMTP from host; its queue id there is 8541728A04D"
    assert [end.machine for end in trace.ends] == ["vm3"]


@pytest.mark.parametrize("wanted", ["latest", "78D4D28A050", "C36D728A054"])
def test_a_message_without_an_id_is_followed_by_its_queue_ids(wanted: str) -> None:
    trace = traced("noid", wanted)
    assert trace.id == "78D4D28A050"
    assert "vm2: it has no message id" in words(trace)
    assert [(end.machine, end.state) for end in trace.ends] == [("vm3", "delivered")]


def test_an_unknown_id_is_answered_with_the_newest() -> None:
    with pytest.raises(UsageError) as error:
        traced("client", "nobody@asmith15.ops")
    assert str(error.value) == (
        "No machine knows the message 'nobody@asmith15.ops'. The newest are: tb-1@asmith15.ops."
    )


def test_a_machine_that_does_not_run_is_told_of() -> None:
    tracer = Tracer({**rooms("user"), "vm3": "is not running"}, SCENE)
    trace = tracer.trace("latest")
    assert trace.notes == ("vm3 is not running, so its log could not be read.",)
    assert trace.verdict == (
        "sent on by vm2: vm3 accepted it as A869F28A036, and its log does not say what happened then"
    )


def test_a_message_that_one_machine_alone_knows() -> None:
    tracer = Tracer({"vm2": Postroom(), "vm3": rooms("user")["vm3"]}, SCENE)
    trace = tracer.trace("latest")
    assert words(trace)[0] == "vm3: vm3 accepts it over SMTP from vm2; its queue id there is A869F28A036"
    assert [end.state for end in trace.ends] == ["delivered"]


def test_a_message_that_somebody_deleted_from_the_queue() -> None:
    verdict = (
        "stopped on vm2: somebody removed it from the queue after it was deferred, because the DNS does not know its "
        "relay host vm33.asmith15.ops"
    )
    assert traced("by-hand").verdict == verdict
    assert "vm2: somebody deletes it from the queue of vm2" in words(traced("by-hand"))
    assert traced("held", queues={}).verdict == verdict, "postsuper -d ALL logs no queue ids"


def test_a_message_on_hold() -> None:
    assert traced("held", queues={"7431228A006": "hold"}).verdict.endswith("vm33.asmith15.ops; it is on hold")


def test_a_message_that_was_put_into_the_queue_anew() -> None:
    trace = traced("requeued")
    assert "vm2: vm2 puts it into the queue again, now with the queue id 9435F28A01A" in words(trace)
    assert [end.state for end in trace.ends] == ["deferred"]


def test_a_message_that_grew_too_old() -> None:
    trace = traced("expired")
    assert "vm2: vm2 has tried for too long and gives up" in words(trace)
    [end] = trace.ends
    assert (end.state, end.notice_to) == ("bounced", ANNA)


def test_the_moments_of_all_machines_are_in_order() -> None:
    for case in ("user", "two", "relayhost-typo", "bounce-to-user"):
        times = [moment.time for moment in traced(case).moments]
        assert times == sorted(times)


def test_a_trace_as_a_document() -> None:
    document = traced("bounce-to-user").to_dict()
    assert list(document) == ["id", "sender", "moments", "ends", "notes", "verdict"]
    assert document["moments"][0]["time"] == "2026-11-22T23:25:26"
    assert document["ends"][0]["notice"][0]["state"] == "delivered"


def test_a_clients_copy_of_what_it_sent_is_no_delivery() -> None:
    inbox, sent = (
        ("asmith15", "/home/asmith15/Maildir/cur/1:2,"),
        ("asmith15", "/home/asmith15/Maildir/.Sent/cur/2:2,S"),
    )
    assert delivered_file("asmith15", [sent, inbox], [inbox]) == inbox[1]
    assert delivered_file("asmith15", [sent], []) == "", "the message itself was removed"
    assert delivered_file("asmith15", [], [inbox]) == inbox[1], "a notice, or a message without an id"
    older = ("asmith15", "/home/asmith15/Maildir/cur/0:2,")
    assert delivered_file("asmith15", [inbox], [older, inbox]) == inbox[1], "a queue id that was used twice"


def test_the_users_own_mailbox_goes_before_what_somebody_saved() -> None:
    saved, inbox = ("root", "/root/a-message"), ("asmith15", "/home/asmith15/Maildir/new/1")
    assert delivered_file("asmith15", [saved, inbox], [saved, inbox]) == inbox[1]
    assert delivered_file("asmith15", [saved], [saved]) == saved[1]


def test_what_a_machine_says_of_its_mail() -> None:
    room = parse(
        "2026-11-23T00:10:00\nrests\nmaildrop A1F6B28A7E7 2026-11-23T00:09:00\n"
        "deferred 89C1F28A082 2026-11-23T00:15:00\n\n" + excerpt("vm2", "zonebroken")
    )
    assert (room.runs, room.unread, room.queue["89C1F28A082"]) == (False, 1, "deferred")
    assert room.due == {"89C1F28A082": datetime(2026, 11, 23, 0, 15)}
    trace = Tracer({"vm2": room}, SCENE).trace("latest")
    assert trace.notes == ("On vm2, 1 message waits for Postfix, which is not running there; no log shows this yet.",)


def test_a_machine_without_postfix_says_nothing() -> None:
    room = parse("2026-11-23T00:10:00\nrests\n\n")
    assert (room.log.hops, room.queue) == ([], {})


def test_all_messages_of_all_cases_have_an_end_and_words() -> None:
    everything: dict[str, Postroom | str] = {}
    for machine in ("vm2", "vm3"):
        read = maillog.read(log(machine), NOW)
        everything[machine] = Postroom(read, {hop.queue_id: "deferred" for hop in read.hops if not hop.removed})
    tracer = Tracer(everything, SCENE)
    ids = {
        hop.message_id
        for room in everything.values()
        if isinstance(room, Postroom)
        for hop in room.log.hops
        if hop.message_id
    }
    assert len(ids) > 30
    for message_id in ids:
        trace = tracer.trace(message_id)
        assert trace.ends
        assert trace.verdict
        for moment in trace.moments:
            assert "Postfix says" not in moment.words, moment
            assert all(line in log(moment.machine) for line in moment.lines)


def test_an_answer_that_says_nothing_is_explained_by_what_the_machine_that_gave_it_logged() -> None:
    refusal = "451 4.7.1 Service unavailable - try again later"
    vm2 = f"""Nov 22 10:00:00 vm2 postfix/pickup[1]: AAAAAAA1: uid=0 from=<root>
Nov 22 10:00:00 vm2 postfix/cleanup[2]: AAAAAAA1: message-id=<a@b>
Nov 22 10:00:05 vm2 postfix/smtp[3]: AAAAAAA1: to=<{ANNA}>, relay=vm3[192.168.90.4]:25, delay=1, delays=0/0/0/0, dsn=4.7.1, status=deferred (host vm3[192.168.90.4] said: {refusal} (in reply to MAIL FROM command))
"""
    vm3 = f"""Nov 22 11:00:00 vm3 postfix/smtpd[5]: connect from host[192.168.90.1]
Nov 22 11:00:00 vm3 postfix/smtpd[5]: NOQUEUE: milter-reject: CONNECT from host[192.168.90.1]: {refusal}; proto=SMTP
Nov 22 11:00:09 vm3 postfix/smtpd[5]: NOQUEUE: milter-reject: MAIL from host[192.168.90.1]: {refusal}; from=<x@y> proto=SMTP helo=<h>
Nov 22 11:00:09 vm3 postfix/smtpd[5]: disconnect from host[192.168.90.1]
"""
    asked = []

    def explain(machine: str, time: datetime) -> str:
        asked.append((machine, f"{time:%H:%M:%S}"))
        return "postfix/smtpd logs: connect to Milter service inet:127.0.0.1:8891: Connection refused"

    there = {
        name: Postroom(maillog.read(text, NOW), {"AAAAAAA1": "deferred"}) for name, text in (("vm2", vm2), ("vm3", vm3))
    }
    tracer = Tracer(there, Scene(MACHINES, "asmith15.ops", explain))
    told = "; on vm3, postfix/smtpd logs: connect to Milter service inet:127.0.0.1:8891: Connection refused"
    assert tracer.trace("a@b").verdict.endswith(told)
    attempt = tracer.trace("latest")
    assert attempt.verdict == f"stopped on vm3: refused, because it answers: {refusal}{told}"
    assert attempt.moments[1].words == f"vm3 refuses: CONNECT from host[192.168.90.1]: {refusal}; proto=SMTP"
    assert set(asked) == {("vm3", "10:00:05"), ("vm3", "11:00:09")}
