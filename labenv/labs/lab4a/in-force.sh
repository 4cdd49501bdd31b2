# What is in force on a machine, a fact per line: `labenv lab test` compares what solutions lead to with what `up` makes. The order
# of the lines does not count. It matters only within a firewall chain, and there as well only if the chain has more than what it accepts.
prefix() { sed "s|^|$1 |"; }
{% if machine.name != "host" %}
# All parameters, also those that have their default: to set one to that is the same.
postconf -x 2>&1 | grep -v '^process_id =' | prefix postconf
postconf -M | prefix master.cf
{% else %}
for zone in {{ domain }} {{ network.split(".") | reverse | join(".") }}.in-addr.arpa; do
  dig @127.0.0.1 +noall +answer AXFR "$zone" | prefix served
done
{% endif %}
prefix resolver </etc/resolv.conf
iptables-save -t filter | sed '/^[#*C]/d; s/ \[.*\]//' | prefix 'in force'
sed '/^[#*C]/d; s/ \[.*\]//' /etc/sysconfig/iptables | prefix saved
getent passwd | cut -d : -f 1,6,7 | prefix account
systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --plain | prefix enabled
systemctl list-units --type=service,socket,target --state=active --no-legend --plain | cut -d ' ' -f 1 | prefix active
systemctl list-units --state=failed --no-legend --plain | prefix failed
