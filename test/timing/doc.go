// Package timing asks whether the time of an answer to AUTH tells what it must not: whether there
// is such an account, whether it is frozen, or whether the password was the right one of an account
// that may not use it.
//
// The rooms are the real ones behind a real socket, with no delay after a refusal and with rates
// that never refuse, since both would hide a difference. All kinds of refused attempts take turns
// in random order; what counts is the fast fifth of each kind, which load does not disturb. Two kinds
// are alike when a confidence interval of 99.9 % lies within 2.5 % of the time itself, and each
// run shows that it would see 5 %: it is planted, and must be found.
//
// Another test does the same while strangers' guesses have to wait for their turn, where who has to
// wait must tell nothing.
//
// `make timing` is that, with passwords as costly as they are by default, and docs/benchmarks.md keeps
// its figures. A small form is among all tests: it looks at processor time, with fewer samples and
// cheap passwords, tolerates 12.5 % and plants 25 %.
package timing
