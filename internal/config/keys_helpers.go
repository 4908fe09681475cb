package config

import (
	"errors"
	"os/user"
	"strconv"
	"strings"
)

// Helpers says who, besides administrators, may ask about trace, queue and status.
type Helpers struct {
	Socket string // where they ask; "": nowhere
	Group  HostGroup
}

// HostGroup is a group of this host.
type HostGroup struct {
	Name string // as it is written; "": none
	ID   int
}

func helpersKeys() []entry[Helpers] {
	return []entry[Helpers]{
		parsed(Key{Path: "helpers.socket", Type: TypeSocket, Restart: "the commands that run know the socket by its path", Min: "1", Max: "4096",
			Doc: "The UNIX socket at which helpers ask, such as /run/sallyport/helpers.sock, where their " +
				"commands look by themselves. It belongs to the group of helpers.group and has the mode " +
				"0660; its folder is made with mode 0755 where it is missing. Without it only root and the " +
				"server's own user may ask anything."},
			parsePath, func(h *Helpers) *string { return &h.Socket }),
		parsed(Key{Path: "helpers.group", Type: TypeText, Max: "256", Restart: "the socket belongs to the group that it was made for",
			Doc: "The group of this host whose members may ask `sallyport trace`, `queue ls`, `queue show` " +
				"and `status`, and do nothing else: they read no message and change nothing, and that they " +
				"asked is in the trace. The server's own user must belong to it, since nobody else can give " +
				"it the socket."},
			parseHostGroup, func(h *Helpers) *HostGroup { return &h.Group }),
	}
}

func parseHostGroup(text string) (g HostGroup, message, hint string) {
	if text == "" || len(text) > mostUnixName || strings.ContainsAny(text, ":\n\x00") {
		return g, "this is no group's name", `write "mailhelp", and make the group with groupadd`
	}
	found, err := user.LookupGroup(text)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
		return g, "this host has no such group", "groupadd --system " + text
	} else if err != nil {
		return g, "the groups of this host cannot be read: " + cause(err), "getent group shows them"
	}
	id, err := strconv.Atoi(found.Gid)
	if err != nil {
		return g, "the number of this group is no number", "look at its line: getent group " + text
	}
	return HostGroup{text, id}, "", ""
}

// checkHelpers wants a socket and a group, or neither.
func (s *source) checkHelpers(root *node) {
	socket, group := root.child("helpers", "socket"), root.child("helpers", "group")
	switch {
	case socket != nil && group == nil:
		s.faultAt(socket, "it is not said who may ask there", "add group: that of the people who help")
	case group != nil && socket == nil:
		s.faultAt(group, "these people have nowhere to ask", `add socket = "/run/sallyport/helpers.sock"`)
	}
}
