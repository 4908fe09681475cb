// Package crowd shows the server among a thousand destinations of which a third are
// dead, slow or rude: the healthy ones hardly notice, every recipient has exactly
// one outcome, and memory stays bounded.
//
// Everything is real but the Internet: the server is a process of its own, asks a
// name server over UDP, and dials port 25 of a thousand loopback addresses, all in
// a network namespace of the test's.
package crowd
