// Package migrate moves in from Postfix, as an administrator does, and compares what the
// two servers then do with the same addresses.
package migrate
