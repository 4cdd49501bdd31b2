# What the files ifcfg-* say, as the EL family's initscripts read them (sysconfig.txt there), and what the machine becomes by
# them. boot, ifup, ifdown, nmcli and network.service have this in common.
#
# The engine gives each interface its address; all else, the default route, further addresses of lo and the resolver, comes
# from these files. A machine of another family has none of them.
package Ifcfg;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(configurations route_commands address_command resolver content put);

our $folder = '/etc/sysconfig/network-scripts';

sub content {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in> // '';
}

# Written in place, because a mount can be neither replaced nor removed.
sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}

# The configurations, by file name and in that order: its settings, and as `name` what ifup calls it. Copies that an editor
# or a person left beside a file are none.
sub configurations {
    my @found;
    for my $file (grep { -f && !/(?:~|\.bak|\.orig|\.old|\.save|\.swp|\.rpm\w+)$/ } glob "$folder/ifcfg-*") {
        my ($text, %set) = (content($file));
        $set{$1} = $2 // $3 // $4 while $text =~ /^[ \t]*(\w+)=(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#;]*))/mg;
        ($set{name}) = $file =~ /ifcfg-(.*)$/;
        $set{DEVICE} ||= $set{name};
        push @found, \%set;
    }
    return @found;
}

# What gives lo a further address: a line for `ip -batch`, or nothing.
sub address_command {
    my ($set) = @_;
    return if $set->{DEVICE} !~ /^lo(?::|$)/ || !$set->{IPADDR} || !$set->{PREFIX};
    return "address replace $set->{IPADDR}/$set->{PREFIX} dev lo";
}

# The same for the default route.
sub route_commands {
    my ($set) = @_;
    return $set->{DEVICE} !~ /^lo(?::|$)/ && $set->{GATEWAY} ? "route replace default via $set->{GATEWAY}" : ();
}

# /etc/resolv.conf as these configurations want it, made of what is there: they decide about the name servers, and with those
# about the domain to search; a person's other lines stay. SEARCH counts where DOMAIN is absent.
sub resolver {
    my ($text, @sets) = @_;
    @sets = grep { !(is_no($_->{PEERDNS}) && is_no($_->{RESOLV_MODS})) } @sets;
    my (%seen, @servers, @domains);
    for my $set (@sets) {
        push @servers, grep { defined && length && !$seen{"server $_"}++ } @$set{qw(DNS1 DNS2 DNS3)};
        push @domains, grep { !$seen{"domain $_"}++ } split ' ', $set->{DOMAIN} || $set->{SEARCH} || '';
    }
    return $text if !@servers && !@domains;
    my $replaced = @servers ? qr/^\s*(?:nameserver|search|domain)\b/ : qr/^\s*(?:search|domain)\b/;
    my @new = (@domains ? "search @domains\n" : (), map { "nameserver $_\n" } @servers);
    my @lines;
    for my $line (split /^/, $text) {
        if ($line =~ $replaced) { push @lines, splice @new }
        else                    { push @lines, $line }
    }
    $lines[-1] =~ s/\n?$/\n/ if @lines && @new;
    return join '', @lines, @new;
}

sub is_no { return ($_[0] // '') =~ /^(?:no|n|false|f|0)$/i }

1;
