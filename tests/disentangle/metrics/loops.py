"""The metrics once more, value by value in plain loops and written from the papers' formulas."""

import math
from collections import Counter


def cut(values, bins):
    low, high = min(values), max(values)
    if high == low:
        return [0] * len(values)
    return [min(int((value - low) / (high - low) * bins + 1e-9), bins - 1) for value in values]


def entropy(symbols):
    total = len(symbols)
    return -sum(count / total * math.log2(count / total) for count in Counter(symbols).values())


def mutual(one, other):
    joint, first, second = Counter(zip(one, other, strict=True)), Counter(one), Counter(other)
    total = len(one)
    return sum(n / total * math.log2(n * total / (first[a] * second[b])) for (a, b), n in joint.items())


def columns(array):
    return [list(column) for column in array.T.tolist()]


def symbols(factors, codes, bins, kinds):
    chosen = [f if kind == "categorical" else cut(f, bins) for f, kind in zip(columns(factors), kinds, strict=True)]
    return chosen, [cut(code, bins) for code in columns(codes)]


def two_largest(values):
    ordered = sorted(values, reverse=True)
    return ordered[0], ordered[1]


def mean_gap(lists):
    total = 0.0
    for values in lists:
        first, second = two_largest(values)
        total += first - second
    return total / len(lists)


def share(row, cell, normalise_by):
    return mutual(row, cell) / (entropy(row) if normalise_by == "factor" else entropy(cell))


def mig(factors, codes, bins, kinds, normalise_by):
    rows, cells = symbols(factors, codes, bins, kinds)
    return mean_gap([[share(row, cell, normalise_by) for cell in cells] for row in rows])


def mig_sup(factors, codes, bins, kinds, normalise_by):
    rows, cells = symbols(factors, codes, bins, kinds)
    return mean_gap([[share(row, cell, normalise_by) for row in rows] for cell in cells])


def jemmig(factors, codes, bins, kinds):
    rows, cells = symbols(factors, codes, bins, kinds)
    total = 0.0
    for row in rows:
        told = [mutual(row, cell) for cell in cells]
        first, second = two_largest(told)
        best = cells[told.index(first)]
        joint = entropy(list(zip(row, best, strict=True)))
        total += 1 - (joint - first + second) / (entropy(row) + math.log2(bins))
    return total / len(rows)


def dcimig(factors, codes, bins, kinds):
    rows, cells = symbols(factors, codes, bins, kinds)
    credit = [0.0] * len(rows)
    for cell in cells:
        told = [mutual(row, cell) for row in rows]
        first, second = two_largest(told)
        owner = told.index(first)
        credit[owner] = max(credit[owner], first - second)
    return sum(credit) / sum(entropy(row) for row in rows)


def modularity(factors, codes, bins, kinds):
    rows, cells = symbols(factors, codes, bins, kinds)
    total = 0.0
    for cell in cells:
        told = [mutual(row, cell) for row in rows]
        best = told.index(max(told))
        rest = sum(value**2 for index, value in enumerate(told) if index != best)
        total += 1 - rest / (told[best] ** 2 * (len(rows) - 1))
    return total / len(cells)


def sap(factors, codes):
    lists = []
    for factor in columns(factors):
        scores = []
        for code in columns(codes):
            mean_f, mean_c = sum(factor) / len(factor), sum(code) / len(code)
            slope = sum((c - mean_c) * (f - mean_f) for c, f in zip(code, factor, strict=True))
            slope /= sum((c - mean_c) ** 2 for c in code)
            left = sum((f - mean_f - slope * (c - mean_c)) ** 2 for c, f in zip(code, factor, strict=True))
            scores.append(1 - left / sum((f - mean_f) ** 2 for f in factor))
        lists.append(scores)
    return mean_gap(lists)


def irs(factors, codes, bins, kinds):
    rows, _ = symbols(factors, codes, bins, kinds)
    total = weights = 0.0
    for code in columns(codes):
        mean = sum(code) / len(code)
        largest = max(abs(c - mean) for c in code)
        best = 0.0
        for row in rows:
            deviations = []
            for level in set(row):
                within = [c for c, r in zip(code, row, strict=True) if r == level]
                centre = sum(within) / len(within)
                deviations.append(max(abs(c - centre) for c in within))
            best = max(best, 1 - sum(deviations) / len(deviations) / largest)
        total += best * largest
        weights += largest
    return total / weights


def entropy_of_shares(values):
    total = sum(values)
    return -sum(v / total * math.log(v / total, len(values)) for v in values if v > 0)


def udr(similar):
    total = 0.0
    height, width = len(similar), len(similar[0])
    for b in range(width):
        column = [similar[a][b] for a in range(height)]
        total += max(column) ** 2 / sum(column)
    for a in range(height):
        total += max(similar[a]) ** 2 / sum(similar[a])
    return total / (height + width)
