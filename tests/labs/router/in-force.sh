ip -4 route
iptables-save | grep -v '^#' | sed 's/ \[.*//'
/usr/lib/systemd/systemd-sysctl --cat-config | grep -v '^#'
ifquery eth0
systemctl list-unit-files --state=enabled --no-legend
