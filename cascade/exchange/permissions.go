package exchange

import (
	"errors"
	"strconv"
)

// permissionBits names the bits of user_configuration.permissions as their tags
// (uc...) do; a bit without a name has no tag.
var permissionBits = [32]string{
	0:  "WebMail",
	1:  "Calendar",
	2:  "Contacts",
	3:  "Tasks",
	4:  "Infostore",
	8:  "WebDAVXML",
	9:  "WebDAV",
	10: "ICal",
	11: "VCard",
	14: "SyncML",
	15: "FullPublicFolderAccess",
	16: "FullSharedFolderAccess",
	17: "DelegateTasks",
	18: "EditGroup",
	19: "EditResource",
	20: "EditPassword",
	21: "CollectEMailAddresses",
	22: "MultipleMailAccounts",
	23: "Subscription",
	24: "Publication",
	25: "ActiveSync",
	26: "USM",
	27: "OLOX20",
	28: "DeniedPortal",
	29: "CalDAV",
	30: "CardDAV",
}

// permissionsOf names the permissions of a user's bits, which the database
// holds as a signed or an unsigned integer of 32 bits.
func permissionsOf(text string) ([]string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 {
		return nil, errors.New("permissions are an integer of 32 bits")
	}
	var list []string
	for bit, name := range permissionBits {
		if name != "" && uint32(n)&(1<<bit) != 0 {
			list = append(list, name)
		}
	}
	return list, nil
}
