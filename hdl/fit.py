"""The fastest plan that a chip has room for."""

from __future__ import annotations

from hdl.cost import planned_cycles
from hdl.device import Device
from hdl.estimate import Budget, estimate, lacking
from hdl.harden import MOST, constant_luts, serialised, wirable
from hdl.netplan import Plan
from hdl.search import Search
from model.qnetwork import QNetwork

PLENTY = 1 << 30
"""Of what nobody limits."""


def fastest(net: QNetwork, budget: Budget, device: Device) -> Plan:
    """The fastest plan found that fits; that of one multiplier if none does.

    Where it has too few multipliers to keep up with the pixels, layers are hard-wired, one after another,
    as long as that makes it faster; and where they still are too few, a layer that has the time takes its
    inputs bit by bit.
    """
    planner = Search(net, device=device)
    best = within(planner, budget)
    for wired in wirable(net, device, budget.lut):
        if planned_cycles(net, best) <= planner.floor:
            break
        tried = within(Search(net, device=device, wired=wired), budget)
        if not lacking(estimate(net, tried, device), budget) and planned_cycles(net, tried) < planned_cycles(
            net, best
        ):
            best = tried
    if planned_cycles(net, best) > planner.floor:
        tried = serialised(net, planner.plan(planner.floor), planner.floor, budget.dsp)
        fits = not lacking(estimate(net, tried, device), budget)
        if fits and constant_luts(net, tried, device) <= MOST:
            return tried
    return best


def within(planner: Search, budget: Budget) -> Plan:
    """The fastest plan of a search that fits; the one with the fewest multipliers if none does."""

    def fits(plan: Plan) -> bool:
        return not lacking(estimate(planner.net, plan, planner.device), budget)

    low = planner.least
    plan, high = planner.within(low), planner.most
    if high > low and fits(best := planner.within(high)):
        return best
    while high - low > 1:
        count = (low + high) // 2
        tried = planner.within(count)
        if fits(tried):
            plan, low = tried, count
        else:
            high = count
    return plan
