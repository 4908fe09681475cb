// Package keys holds whole servers to what the reference says of single keys, from
// outside: over sockets, with the files that they write and the commands of an operator.
package keys
