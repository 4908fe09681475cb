// Package prvs signs return paths and reads the signatures of those that come back.
//
// It promises pure arithmetic over values: time is an argument, nothing is stored. A
// signed return path has the form that Bounce Address Tag Validation
// (draft-levine-smtp-batv) calls a simple private signature:
//
//	prvs=KDDDSSSSSS=LOCAL@DOMAIN
//
// K numbers the key and is 0, DDD is the day on which it ends, counted in days since
// 1970 and cut to three digits, SSSSSS a MAC over that day, whole, and LOCAL@DOMAIN.
// Nobody without the key can make one, change one, or make one last longer: only who
// was sent mail by LOCAL@DOMAIN has a return path to it, and for some days. The form is
// the one that other programs know, and know to take apart: with 24 bits its MAC is as
// short as that form asks for, and a guess costs one refused recipient of a mail
// session and wins the right to send one message to one mailbox of ours.
package prvs
