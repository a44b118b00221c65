"""How destinations are spread over the replicas of a store: who holds each, and the share of its slots that each may use.

Destinations are spread over the replicas that know them. Their slots are divided by need (``store/shares.py``). A share
that one replica has given up, or has left behind, is granted to another one when its requests have come to an end: one
timeout later. That relies on two things:

- A replica begins a request only while its own clock says that it is assigned the slot for it, and looks again whenever
  something has waited between the slot and the request (``Holds.may_send``). So a delivery that waits for its turn, for the
  store or in a line keeps no share from others, however long it waits.
- No request takes longer than ``Terms.timeout_s``.

Pure: a store keeps the grants and the holders, and lets one replica at a time have its turn.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.store.cluster import LAPSED_S
from gateway.store.holds import Assigned, Assignment, Terms
from gateway.store.shares import fair_share

#: Seconds after which a destination that is in no replica's file is assigned, so that what waits for it can end.
UNKNOWN_S: Final = 600.0
#: No share is smaller; what is less is an error of rounding.
LEAST: Final = 1e-6


class Grant(Struct, frozen=True, kw_only=True):
    """What a replica wants of a destination, and the share of its slots that it may use."""

    terms: Terms
    share: float = 0.0
    #: It had a larger share, and requests that began then may be on their way until a moment.
    before: float = 0.0
    before_until: float = 0.0

    def used(self, now: float) -> float:
        """The share that it may be using."""
        return max(self.share, self.before if self.before_until > now else 0.0)

    def next(self, terms: Terms, share: float, now: float) -> "Grant":
        """Its successor, with another share."""
        used = self.used(now)
        if used <= share:
            return Grant(terms=terms, share=share)
        until = now + terms.timeout_s if self.share > share else self.before_until
        return Grant(terms=terms, share=share, before=used, before_until=until)


class Peer(Struct, frozen=True):
    """A replica as another one sees it."""

    number: int
    seen: float
    grants: Mapping[str, Grant]

    def wants(self, name: str, now: float) -> Terms | None:
        """What it wants of a destination; None: nothing, or it has gone."""
        grant = self.grants.get(name)
        return grant.terms if grant is not None and now - self.seen < LAPSED_S else None

    def used(self, name: str, now: float) -> float:
        """The share of a destination's slots that it may be using, also if it has gone."""
        grant = self.grants.get(name)
        if grant is None:
            return 0.0
        is_there = now - self.seen < LAPSED_S + grant.terms.timeout_s
        return grant.used(now) if is_there else 0.0


class Holder(Struct, frozen=True, kw_only=True):
    """A row of the table; without effect once its time is over."""

    destination: str
    replica: int = 0
    epoch: int = 0
    until: float = 0.0
    known_at: float


class Assigning:
    """One replica's turn."""

    def __init__(
        self, number: int, now: float, peers: Sequence[Peer], holders: Mapping[str, Holder], *, expected: int = 1
    ) -> None:
        """``expected``: how many replicas there will be, at least; their shares are left for them."""
        self._number, self._now, self._holders, self._expected = number, now, holders, expected
        self._others = [peer for peer in peers if peer.number != number]
        self._me = next((peer for peer in peers if peer.number == number), Peer(number, now, {}))
        self.grants: dict[str, Grant] = {}
        self.changed: list[Holder] = []
        #: When what others have lapses, if they do not ask before; some of it may be over.
        self._lapses: set[float] = set()

    @property
    def more_in_s(self) -> float:
        """Seconds until some of what was asked about can be taken over from another replica, unless that one asks before."""
        return min((each - self._now for each in self._lapses if each > self._now), default=math.inf)

    def one(self, name: str, terms: Terms) -> Assignment | None:
        now = self._now
        asking = {peer.number: found for peer in self._others if (found := peer.wants(name, now)) is not None}
        asking[self._number] = terms
        knowing = {number for number, each in asking.items() if each.is_known}
        before = self._holders.get(name, Holder(destination=name, known_at=now))
        holder = self._next_holder(before, terms.group or name, knowing or asking.keys(), is_known=bool(knowing))
        if terms.is_known:
            holder = replace(holder, known_at=now)
        if holder != before or name not in self._holders:
            self.changed.append(holder)
        is_holder = holder.replica == self._number and holder.until > now
        self._lapses |= self._lapsing(name, holder)
        share = self._share(name, {number: asking[number] for number in knowing}, terms, is_holder=is_holder)
        known = self._me.grants.get(name, Grant(terms=terms))
        self.grants[name] = known.next(terms, share, now)
        if not is_holder and share < LEAST:
            return None
        until_s = holder.until - now if is_holder else LAPSED_S
        return Assignment(until_s=until_s, epoch=holder.epoch, share=share, is_holder=is_holder, may_claim=is_holder)

    def _lapsing(self, name: str, holder: Holder) -> set[float]:
        """When the holder is to be another one, and when others want a destination no longer and use nothing of it."""
        asked = [(peer.seen + LAPSED_S, each) for peer in self._others if (each := peer.grants.get(name)) is not None]
        gone = {moment for lapsed, each in asked for moment in (lapsed, lapsed + each.terms.timeout_s)}
        return gone if holder.replica == self._number else {holder.until, *gone}

    def _next_holder(self, before: Holder, group: str, among: Collection[int], *, is_known: bool) -> Holder:
        now, me = self._now, self._number
        falls_to_me = max(among, key=lambda each: _weight(each, group)) == me
        is_ripe = is_known or now - before.known_at >= UNKNOWN_S
        is_mine = before.replica == me and before.until > now
        if not falls_to_me or not is_ripe or (before.until > now and not is_mine):
            # What falls to another replica now stays here until its time is over.
            return before
        epoch = before.epoch if is_mine else before.epoch + 1
        return replace(before, replica=me, epoch=epoch, until=now + LAPSED_S)

    def _share(self, name: str, known: Mapping[int, Terms], terms: Terms, *, is_holder: bool) -> float:
        """What may be granted: no more than the others leave. ``known``: what each replica that knows it has said."""
        # What those that are still to come will have is not granted to others before.
        coming = dict.fromkeys(
            range(-max(0, self._expected - len(known)), 0), replace(terms, used=terms.slots, is_short=False)
        )
        is_alone = terms.is_paced or not terms.is_known or terms.slots < len(known) + len(coming)
        share = float(is_holder) if is_alone else fair_share(self._number, {**known, **coming})
        left = 1.0 - sum(peer.used(name, self._now) for peer in self._others)
        return max(0.0, min(share, left))


def _weight(number: int, group: str) -> bytes:
    """The replica of the greatest weight has the destinations of a group (rendezvous hashing): the same for all who ask."""
    return hashlib.blake2b(f"{number} {group}".encode(), digest_size=8).digest()


class Spread:
    """The grants and the holders of replicas that reach the store through one process, in its memory."""

    def __init__(self, now: Callable[[], float]) -> None:
        """``now``: the store's clock, seconds."""
        self._now = now
        #: How many replicas there will be, at least.
        self.expected = 1
        self._peers: dict[str, Peer] = {}
        self._holders: dict[str, Holder] = {}
        #: Never given twice: one that comes after another is not taken for it.
        self._numbers = itertools.count(1)

    def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:
        """What a replica may do with each destination from now on."""
        now, me = self._now(), self._peers.get(replica)
        number = next(self._numbers) if me is None else me.number
        assigning = Assigning(number, now, list(self._peers.values()), self._holders, expected=self.expected)
        assigned = {name: assigning.one(name, terms) for name, terms in wanted.items()}
        self._peers[replica] = Peer(number, now, assigning.grants)
        self._holders.update({each.destination: each for each in assigning.changed})
        # One process grants all leases, so whoever may send may claim.
        found = {name: replace(each, may_claim=True) for name, each in assigned.items() if each is not None}
        return Assigned(found, assigning.more_in_s)

    def release(self, replica: str, destinations: Collection[str]) -> None:
        """Give up some destinations, for which nothing is in flight."""
        if (me := self._peers.get(replica)) is not None:
            left = {name: grant for name, grant in me.grants.items() if name not in destinations}
            self._peers[replica] = Peer(me.number, me.seen, left)
            self._end(me.number, destinations)

    def leave(self, replica: str) -> None:
        """Give up everything: the replica has ended."""
        if (me := self._peers.pop(replica, None)) is not None:
            self._end(me.number, list(self._holders))

    def _end(self, number: int, destinations: Collection[str]) -> None:
        now = self._now()
        for name in destinations:
            holder = self._holders.get(name)
            if holder is not None and holder.replica == number and holder.until > now:
                self._holders[name] = replace(holder, until=now)
