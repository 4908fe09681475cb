// Package sessions shows what sessions with the real server cost its process while they last:
// thousands that are idle under TLS, and those that are in the middle of a message of any size.
package sessions
