// Package guard keeps the evidence on which package trust decides, and ends trust where it says
// so.
//
// It promises that
//
//   - whether a client is taken for its network is asked anew for each decision, and rests on
//     the host's addresses as they were at most Limits.Look ago;
//   - what ends trust contains the network's account, in one act of package incident, before
//     the command that was seen is answered: its sessions end, its queue is held, everybody who
//     is told of incidents is told. Only a person lets it act again;
//   - until that act is committed nobody is taken for the network, and it is tried again;
//   - public clients that were seen are remembered through a restart.
//
// In the store it has one key, "trust/evidence".
package guard
