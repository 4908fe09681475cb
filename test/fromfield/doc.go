// Package fromfield compares how From fields of strangers are read with the parsers that
// mail programs are built on, over random fields in every form of RFC 5322.
package fromfield
