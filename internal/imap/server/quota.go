package server

import (
	"context"
	"strings"

	imapwire "sallyport/internal/imap/wire"
)

// quotaRoot is the name of the one quota root: everything of the account. RFC 9208 §3.2.
const quotaRoot = ""

// quota answers GETQUOTA. RFC 9208 §4.1.1.
func (c *conn) quota(ctx context.Context, a imapwire.Quota) result {
	if a.Root != quotaRoot {
		return no("NONEXISTENT", "there is no such quota root")
	}
	res, bounded := c.tellQuota(ctx, "")
	if res.status == "OK" && !bounded {
		return no("NONEXISTENT", "there is no quota")
	}
	return res
}

// quotaRootOf answers GETQUOTAROOT. A mailbox that is not bounded has no root. RFC 9208 §4.1.2.
func (c *conn) quotaRootOf(ctx context.Context, a imapwire.QuotaRoot) result {
	if _, err := c.user().Status(ctx, a.Name, false); err != nil {
		return c.failed(err)
	}
	root := string(imapwire.AppendMailbox([]byte("* QUOTAROOT "), a.Name, c.enabled.utf8))
	res, _ := c.tellQuota(ctx, root)
	return res
}

// tellQuota tells what is held and may be, and before it, in whose name. RFC 9208 §4.2.1: storage
// is told in units of 1024 octets.
func (c *conn) tellQuota(ctx context.Context, root string) (res result, bounded bool) {
	r, err := c.sess.Room(ctx)
	if err != nil {
		c.o.Logger.Warn("it is not known how full a mailbox is", "conn", c.info.ID, "err", err)
		return no("UNAVAILABLE", "it is not known now how full the mailbox is; try again later"), false
	}
	var resources []string
	if r.MostOctets >= 0 {
		resources = append(resources, "STORAGE "+decimal((r.Octets+1023)/1024)+" "+decimal(r.MostOctets/1024))
	}
	if r.MostMessages >= 0 {
		resources = append(resources, "MESSAGE "+decimal(r.Messages)+" "+decimal(r.MostMessages))
	}
	bounded = len(resources) > 0
	if root != "" && bounded {
		root += ` ""`
	}
	if root != "" {
		c.Line(root)
	}
	if bounded {
		c.Line(`* QUOTA "" (`, strings.Join(resources, " "), ")")
	}
	return ok("that is all"), bounded
}
