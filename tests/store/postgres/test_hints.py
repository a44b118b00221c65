"""Whatever is due is at or after the bound from which claims look for it, in whatever order the answers of the database come."""

import copy
import itertools
import math
import random

import pytest

from gateway.model import Delivery
from gateway.store.nouns import Lease
from gateway.store.postgres.hints import Hints
from gateway.store.postgres.rows import token_of

SLACK = "slack"
LEASE_S = 5.0


def lease_of(seq, grants=1):
    delivery = Delivery(id=f"dlv_{seq}", event_id="evt_1", route="all", destination=SLACK)
    return Lease(delivery, "main", token_of(seq, grants), LEASE_S)


class Row:
    """A pending delivery as the database has it."""

    def __init__(self, seq, due, *, leased_until=-math.inf, is_ours=False):
        self.seq, self.due, self.leased_until, self.is_ours = seq, due, leased_until, is_ours
        self.grants = int(is_ours)

    def is_free(self, now):
        return self.due <= now and self.leased_until <= now


class Beside:
    """The hints of a holder beside a database that others write into, whose answers come late and whose news get lost."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.now = 100.0
        self.numbers = itertools.count(1)
        self.rows = {}
        self.hints = Hints()
        #: What is written and not committed: what it does, and since when something is due because of it; None: nothing is.
        self.writing = []
        #: Told and not heard.
        self.unheard = []
        #: Whether somebody has not told what it did since the last look at everything.
        self.is_lost = False
        self.named_to = -math.inf
        #: Answers on their way.
        self.claiming = self.looking = None

    def free(self, since=-math.inf):
        rows = [row for row in self.rows.values() if row.is_free(self.now) and row.due >= since]
        return sorted(rows, key=lambda row: row.due)

    def step(self):
        steps = {
            self.let_time_pass: 2,
            self.append: 4,
            self.settle: 3 * bool(self.rows),
            self.end: 2 * bool(self.rows),
            self.commit: 6 * bool(self.writing),
            self.hear: 8 * bool(self.unheard),
            self.wake: 2,
            self.claimed if self.claiming else self.claim: 3,
            self.looked if self.looking else self.look: 2,
        }
        [step] = self.chance.choices(list(steps), list(steps.values()))
        step()

    # what is written

    def let_time_pass(self):
        self.tick(self.chance.choice([0.5, 1.0, 4.0]))

    def tick(self, seconds=0.1):
        before, self.now = self.now, self.now + seconds
        # Nobody tells of the leases of other replicas that end.
        ended = [row for row in self.rows.values() if before < row.leased_until <= self.now and not row.is_ours]
        self.is_lost = self.is_lost or bool(ended)

    def append(self):
        self.tick()
        seq, due = next(self.numbers), self.now + self.chance.choice([0.0, 0.0, 0.0, 2.0])
        is_leased = self.chance.random() < 0.15
        until = self.now + LEASE_S if is_leased else -math.inf

        def commit():
            self.rows[seq] = Row(seq, due, leased_until=until)
            # Its transaction may have taken as long as its lease.
            self.is_lost = self.is_lost or -math.inf < until <= self.now

        self.writing.append((commit, None if is_leased else due))

    def settle(self):
        """Write a retry, or a release: that is due since it was."""
        row = self.chance.choice(list(self.rows.values()))
        if row.leased_until == -math.inf:
            return
        grants, due = row.grants, self.chance.choice([row.due, row.due, self.now, self.now + 1.0])

        def commit():
            if row.grants == grants and row.seq in self.rows:
                row.due, row.leased_until = due, -math.inf
                self.hints.ended([token_of(row.seq, row.grants)])

        self.writing.append((commit, due))

    def end(self):
        row = self.chance.choice(list(self.rows.values()))
        if row.leased_until > self.now:
            del self.rows[row.seq]
            self.hints.ended([token_of(row.seq, row.grants)])

    def commit(self):
        commit, due = self.writing.pop(self.chance.randrange(len(self.writing)))
        commit()
        if due is not None:
            self.unheard.append(due)

    def hear(self):
        due = self.unheard.pop(self.chance.randrange(len(self.unheard)))
        if self.chance.random() < 0.02:
            self.is_lost = True
        elif due > self.now:
            self.hints.come_up(SLACK, due)
        else:
            self.hints.tell({SLACK: due})

    # what is asked

    def claim(self):
        """The database claims, and its answer is on its way."""
        self.tick()
        slots, asking = self.chance.randint(1, 3), self.hints.asking()
        told, taken = asking.__enter__(), self.free(self.hints.due_since(SLACK))[:slots]
        for row in taken:
            row.leased_until, row.is_ours, row.grants = self.now + LEASE_S, True, row.grants + 1
        self.claiming = slots, asking, told, self.now, [(row.seq, row.grants, row.due) for row in taken]

    def claimed(self):
        slots, asking, told, then, taken = self.claiming
        self.claiming = None
        if taken:
            self.hints.claimed(told, {SLACK: then if len(taken) < slots else taken[-1][2]})
        asking.__exit__(None, None, None)
        for seq, grants, due in taken:
            self.hints.granted(lease_of(seq, grants), due, then)
        self.hints.run_out(then)

    def look(self):
        """The database looks, and its answer is on its way."""
        self.look_at(everything=self.chance.random() < 0.5)

    def look_at(self, *, everything):
        self.tick()
        dues = [row.due for row in self.free() if everything or row.due > self.named_to]
        asking = self.hints.asking()
        self.looking = everything, asking, asking.__enter__(), self.now, {SLACK: min(dues)} if dues else {}

    def looked(self):
        everything, asking, told, then, found = self.looking
        self.looking = None
        self.hints.looked(told, found, then, at_all=everything)
        asking.__exit__(None, None, None)
        self.named_to = then

    def wake(self):
        self.hints.take(self.now)

    # what is promised

    def before_the_bound(self):
        """What is due and would not be claimed, although everything was heard."""
        hints = copy.deepcopy(self.hints)
        hints.take(self.now)
        since = hints.due_since(SLACK)
        return [row.due for row in self.free() if row.due < since]

    @property
    def knows_everything(self):
        return not (self.is_lost or self.unheard or self.claiming or self.looking)

    def settle_down(self):
        """Everything is committed and nobody tells of it; everything is looked at once."""
        while self.writing:
            self.writing.pop()[0]()
        self.unheard.clear()
        if self.claiming:
            self.claimed()
        if self.looking:
            self.looked()
        self.look_at(everything=True)
        self.looked()
        self.is_lost = False


@pytest.mark.parametrize("seed", range(200))
def test_what_was_told_is_found_at_once_and_all_else_by_the_next_look_at_everything(seed):
    beside = Beside(seed)
    for number in range(300):
        beside.step()
        if beside.knows_everything:
            assert beside.before_the_bound() == [], f"step {number}"
        if not number % 60:
            beside.settle_down()
            assert beside.before_the_bound() == [], f"step {number}"
            names = beside.hints.take(beside.now)
            assert not beside.free() or SLACK in names, f"step {number}"


def looked(hints, found, now, *, at_all=True):
    with hints.asking() as asking:
        hints.looked(asking, found, now, at_all=at_all)


def test_a_claim_that_got_less_than_it_asked_for_raises_the_bound_to_its_own_time():
    hints = Hints()
    looked(hints, {SLACK: 5.0}, 10.0)
    assert hints.due_since(SLACK) == 5.0
    with hints.asking() as asking:
        hints.claimed(asking, {SLACK: 12.0})
    assert hints.due_since(SLACK) == 12.0


def test_what_is_told_while_a_claim_is_out_lowers_the_bound_that_it_raises():
    hints = Hints()
    looked(hints, {}, 10.0)
    with hints.asking() as asking:
        hints.tell({SLACK: 11.0})
        hints.claimed(asking, {SLACK: 12.0})
    assert hints.due_since(SLACK) == 11.0


def test_what_is_told_while_everything_is_looked_at_outlives_the_answer():
    hints = Hints()
    with hints.asking() as asking:
        hints.tell({SLACK: 3.0})
        hints.take(4.0)
        hints.looked(asking, {}, 10.0, at_all=True)
    assert hints.due_since(SLACK) == 3.0


def test_a_lease_of_this_process_that_ran_out_lowers_the_bound_to_when_its_delivery_was_due():
    hints = Hints()
    looked(hints, {}, 10.0)
    hints.granted(lease_of(1), 7.0, 10.0)
    assert hints.run_out(10.0 + LEASE_S - 0.1) == set()
    assert hints.run_out(10.0 + LEASE_S) == {SLACK}
    assert hints.due_since(SLACK) == 7.0
    assert hints.run_out(10.0 + LEASE_S) == set(), "it is said once"
    assert hints.take(10.0 + LEASE_S) == {SLACK}


def test_a_clock_that_has_gone_back_lowers_every_bound_with_the_next_look_at_everything():
    """A standby that took over may be behind."""
    hints = Hints()
    looked(hints, {SLACK: 100.0}, 100.0)
    with hints.asking() as asking:
        hints.claimed(asking, {SLACK: 100.0})
    looked(hints, {SLACK: 50.0}, 60.0)
    assert hints.due_since(SLACK) == 50.0
    assert hints.due_since("crm") == 60.0
