# What is in force on a machine, a fact per line: `labenv lab test` compares what solutions lead to with what `up` makes. The order
# of the lines does not count. It matters only within a firewall chain, and there as well only if the chain has more than what it accepts.
prefix() { sed "s|^|$1 |"; }
{% if machine.name == "host" %}
for zone in localhost {{ domain }} {{ network.split(".") | reverse | join(".") }}.in-addr.arpa; do
  dig @127.0.0.1 +noall +answer AXFR "$zone" | prefix served
done
named-checkconf -p | prefix named.conf
{% endif %}
prefix resolver </etc/resolv.conf
prefix interface </etc/sysconfig/network-scripts/ifcfg-eth0
prefix hostname </etc/hostname
prefix hosts </etc/hosts
iptables-save -t filter | sed '/^[#*C]/d; s/ \[.*\]//' | prefix 'in force'
sed '/^[#*C]/d; s/ \[.*\]//' /etc/sysconfig/iptables | prefix saved
systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --plain | prefix enabled
systemctl list-units --type=service,socket,target --state=active --no-legend --plain | cut -d ' ' -f 1 | prefix active
systemctl list-units --state=failed --no-legend --plain | prefix failed
