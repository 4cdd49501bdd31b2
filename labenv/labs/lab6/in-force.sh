# What is in force on a machine, a fact per line: `labenv lab test` compares what solutions lead to with what `up` makes. The order
# of the lines does not count. It matters only within a firewall chain, and there as well only if the chain has more than what it accepts.
prefix() { sed "s|^|$1 |"; }
{% if machine.name == "vm1" %}
httpd -M 2>/dev/null | prefix module
rpm -qa 2>/dev/null | grep -E '^(httpd|mod_ssl|php|mariadb)' | prefix package
find /var/www -xdev -path '*/webmail/*/*' -prune -o -printf '%U %#m %p\n' | prefix page
{% endif %}
{% if machine.name in ("vm2", "vm3") %}
postconf -nx 2>&1 | prefix postconf
doveconf -n 2>&1 | grep -v '^#' | tr '\n' ' ' | sed 's/} /}\n/g' | prefix doveconf
{% endif %}
{% if machine.name == "host" %}
for zone in {{ domain }} {{ network.split(".") | reverse | join(".") }}.in-addr.arpa; do
  dig @127.0.0.1 +noall +answer AXFR "$zone" | prefix served
done
{% endif %}
iptables-save -t filter | sed '/^[#*C]/d; s/ \[.*\]//' | prefix 'in force'
sed '/^[#*C]/d; s/ \[.*\]//' /etc/sysconfig/iptables | prefix saved
getent passwd | cut -d : -f 1,6,7 | prefix account
systemctl list-unit-files --state=enabled,enabled-runtime --no-legend --plain | grep -v labenv-database | prefix enabled
systemctl list-units --type=service,socket,target --state=active --no-legend --plain | cut -d ' ' -f 1 | prefix active
systemctl list-units --state=failed --no-legend --plain | prefix failed
