// Package authors holds what the server makes of author fields against programs that
// read them: the mail libraries of Python, Perl, Ruby, PHP, Node and Go. Headers are
// generated from a seed; of each that an account may submit, every reader must name
// authors that the account is, or none.
package authors
