# What is wrong with the links of a machine, on the side of the engine's computer: $0 is the rules (link.nft), $1 the machine's
# interfaces, each OWN:PEER (sysfs, ifindex and iflink), $2 the bridges of its environment, $3 how many of 10000 packets are lost, $4
# the delay, $5 for how long the link is down; 0 for none. Without interfaces it only removes what belongs to none any more.
rules=$0 interfaces=$1 bridges=$2 loss=$3 delay=$4 down=$5
table='bridge labenv'

links=
for path in /sys/class/net/*; do
    bridge=$(readlink $path/master) || continue
    case " $bridges " in *" ${bridge##*/} "*) ;; *) continue ;; esac
    case " $interfaces " in *" $(cat $path/iflink):$(cat $path/ifindex) "*) links="$links ${path##*/}" ;; esac
done
[ -n "$links" ] || [ -z "$interfaces" ] || { echo 'no link'; exit; }

lost="numgen random mod 10000 < $loss drop"
[ $loss != 10000 ] || lost=drop
for link in $links; do
    tc qdisc delete dev $link root netem 2>/dev/null
    [ $delay = 0 ] || tc qdisc replace dev $link root netem delay $delay || { echo 'no netem'; exit; }
    nft delete element $table down "{ $link }" 2>/dev/null
    nft delete element $table lossy "{ $link }" 2>/dev/null
    nft "$rules
$([ $loss = 0 ] || echo "add chain $table loss$loss
flush chain $table loss$loss
add rule $table loss$loss $lost
add element $table lossy { $link timeout 24h : jump loss$loss }")
$([ $down = 0 ] || echo "add element $table down { $link timeout $down }")" || exit
done

# An interface that is gone has its number here only, which no other gets.
for number in $(nft list table $table 2>/dev/null | grep -oE '(\{|,|^)[[:space:]]*[0-9]+ timeout' | grep -oE '[0-9]+'); do
    nft delete element $table down "{ $number }" 2>/dev/null
    nft delete element $table lossy "{ $number }" 2>/dev/null
done
echo done
