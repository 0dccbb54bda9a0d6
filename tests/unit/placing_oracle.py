# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The most vCPUs that can be placed, found by other means than placement's own: OR-tools' CP-SAT, or every arrangement there is."""

from __future__ import annotations


def slots_of(case):
    """Return host, NUMA node, free cores and memory of each NUMA node, counted here anew."""
    found = []
    for one in case.hosts:
        realtime = one.partition.sets["realtime"]
        taken = {cpu for domain in one.existing for cpu in domain.cpus}
        used = {}
        for domain in one.existing:
            for node in domain.nodes:
                used[node] = used.get(node, 0) + domain.memory_mib // len(domain.nodes)
        for node, members in sorted(one.partition.nodes.items()):
            cores = {one.topology.core_of(cpu) for cpu in realtime & members}
            free = [core for core in cores if not core & taken]
            found.append((one, node, len(free), one.memory_mib[node] - used.get(node, 0)))
    return found


def cores_of(wish, width):
    """Return the cores of a guest with one ordinary vCPU and idle siblings: one for each vCPU."""
    del width
    return wish.guest.vcpus


def best_vcpus(case, seconds=60.0, workers=2):
    """Return the most vCPUs that CP-SAT places, and whether it has proven that no more can be."""
    from ortools.sat.python import cp_model

    model, slots = cp_model.CpModel(), slots_of(case)
    here = {}
    for wish in case.wishes:
        for number, (one, _node, cores, memory) in enumerate(slots):
            fits = wish.guest.vcpus <= cores and wish.guest.memory_mib <= memory
            if fits and (wish.hosts is None or one.name in wish.hosts):
                here[wish.name, number] = model.new_bool_var("")
        model.add(sum(here[key] for key in here if key[0] == wish.name) <= 1)
    for number, (_one, _node, cores, memory) in enumerate(slots):
        mine = [wish for wish in case.wishes if (wish.name, number) in here]
        model.add(sum(here[wish.name, number] * wish.guest.vcpus for wish in mine) <= cores)
        model.add(sum(here[wish.name, number] * wish.guest.memory_mib for wish in mine) <= memory)
    for rule in case.rules:
        domains = sorted({one.domain(rule.by) for one in case.hosts} - {None})
        chosen = {domain: model.new_bool_var("") for domain in domains}
        model.add(sum(chosen.values()) <= 1)
        for domain in domains:
            mine = [
                variable
                for (name, number), variable in here.items()
                if name in rule.guests and slots[number][0].domain(rule.by) == domain
            ]
            if rule.apart:
                model.add(sum(mine) <= rule.most)
            else:
                for variable in mine:
                    model.add_implication(variable, chosen[domain])
        for (name, number), variable in here.items():
            if name in rule.guests and slots[number][0].domain(rule.by) is None:
                model.add(variable == 0)
    size = {wish.name: wish.guest.vcpus for wish in case.wishes}
    model.maximize(sum(variable * size[name] for (name, _number), variable in here.items()))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    status = solver.solve(model)
    return round(solver.objective_value), status == cp_model.OPTIMAL, solver.best_objective_bound


def most_vcpus(case):
    """Return the most vCPUs that any arrangement places: all are tried, so keep the case tiny."""
    slots = slots_of(case)
    best = 0
    wishes = sorted(case.wishes, key=lambda wish: -wish.guest.vcpus)
    rest = [sum(wish.guest.vcpus for wish in wishes[at:]) for at in range(len(wishes) + 1)]
    free = [[cores, memory] for _one, _node, cores, memory in slots]
    at = {}

    def allowed(wish, one):
        if wish.hosts is not None and one.name not in wish.hosts:
            return False
        for rule in case.rules:
            if wish.name not in rule.guests:
                continue
            domain = one.domain(rule.by)
            mates = [other.domain(rule.by) for name, other in at.items() if name in rule.guests]
            if domain is None or (rule.apart and mates.count(domain) >= rule.most):
                return False
            if not rule.apart and any(mate != domain for mate in mates):
                return False
        return True

    def search(number, placed):
        nonlocal best
        best = max(best, placed)
        if number == len(wishes) or placed + rest[number] <= best:
            return
        wish = wishes[number]
        for index, (one, _node, _cores, _memory) in enumerate(slots):
            room = free[index]
            if room[0] >= wish.guest.vcpus and room[1] >= wish.guest.memory_mib and allowed(wish, one):
                room[0] -= wish.guest.vcpus
                room[1] -= wish.guest.memory_mib
                at[wish.name] = one
                search(number + 1, placed + wish.guest.vcpus)
                del at[wish.name]
                room[0] += wish.guest.vcpus
                room[1] += wish.guest.memory_mib
        search(number + 1, placed)

    search(0, 0)
    return best
