# The packages of this machine as the EL family shows them: what yum and rpm have in common.
#
# dpkg's record of what is installed (deb822(5)) and the repository's list are read as they are. Some packages have another
# name there, or are one package where Debian has several: see /usr/share/labenv/family.
package Family;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(installed available offered unpacked absent left_out owner files match nvra nevra evr lines size_words columns);

my $share  = '/usr/share/labenv';
my $record = '/var/lib/dpkg';
our $repository = "$share/repo";

# What is there: [names], [packages], [files] of each line.
my @family;

sub lines {
    my ($file) = @_;
    open my $in, '<', $file or return;
    return map { chomp; $_ } <$in>;
}

sub family {
    return @family if @family;
    for (grep { /^[^#]/ } lines("$share/family")) {
        my ($names, @rest) = split;
        push @family, { names => [ split /,/, $names ], of => [ grep { !m{^/} } @rest ], files => [ grep { m{^/} } @rest ] };
    }
    return @family;
}

# The stanzas of a file, by package. With several lines for one field, they are joined by newlines.
sub stanzas {
    my ($file) = @_;
    my %found;
    open my $in, '<', $file or return \%found;
    local $/ = '';
    while (my $stanza = <$in>) {
        my %of;
        while ($stanza =~ /^([\w-]+):[ ]?(.*(?:\n[ \t].*)*)/mg) { $of{$1} = $2 }
        next if !$of{Package};
        next if $of{Status} && $of{Status} !~ / installed$/;
        $found{ $of{Package} } = \%of;
    }
    return \%found;
}

# One package as the family shows it, made of Debian's packages.
sub shown {
    my ($name, $from, @parts) = @_;
    my $first = $parts[0];
    my ($epoch, $version) = $first->{Version} =~ /^(?:(\d+):)?(.*)$/;
    my $release = $version =~ s/-([^-]*)$// ? $1 : '1';
    $version =~ tr/-/_/;
    my ($summary, $text) = split /\n/, $first->{Description} // '', 2;
    $text = join "\n", map { s/^ //r =~ s/^\.$//r } split /\n/, $text // '';
    my $size = 0;
    $size += 1024 * ($_->{'Installed-Size'} // 0) for @parts;
    my $packed = 0;
    $packed += $_->{Size} // 0 for @parts;
    my %arch = (amd64 => 'x86_64', arm64 => 'aarch64', all => 'noarch');
    return {
        name => $name, from => $from, of => [ map { $_->{Package} } @parts ],
        arch => $arch{ $first->{Architecture} } // $first->{Architecture},
        epoch => $epoch // 0, version => $version, release => $release,
        summary => $summary // '', description => $text,
        size => $size, packed => $packed, url => $first->{Homepage} // '', group => $first->{Section} // 'unspecified',
        packager => $first->{Maintainer} // '', parts => \@parts,
    };
}

# Debian's packages as the family has them, by name: those with another name there, and all others under their own.
sub family_of {
    my ($debian, $from) = @_;
    my (%found, %taken);
    for my $line (family()) {
        my @parts = map { $debian->{$_} // () } @{ $line->{of} };
        next if !@parts || $parts[0]{Package} ne $line->{of}[0];
        $found{ $line->{names}[0] } = shown($line->{names}[0], $from, @parts);
        $taken{ $_->{Package} } = 1 for @parts;
    }
    for my $name (keys %$debian) {
        $found{$name} //= shown($name, $from, $debian->{$name}) if !$taken{$name};
    }
    return \%found;
}

my ($installed, $available, $listed);

# The installed packages by name. Their `from` is yum's word for where they came from.
sub installed {
    if (!$installed) {
        my $in_repository = available();
        $installed = family_of(stanzas("$record/status"), 'installed');
        for (keys %$installed) { $installed->{$_}{from} = '@labenv' if $in_repository->{$_} }
    }
    return $installed;
}

# The packages of the image's repository by name, installed or not.
sub available {
    return $available //= family_of(stanzas("$repository/Packages"), 'labenv');
}

# More to say about a package that is not there; nothing if there is not.
sub absent {
    my ($name) = @_;
    for (grep { /^[^#]/ } lines("$share/absent")) {
        my ($names, $sentence) = split ' ', $_, 2;
        return $sentence if grep { $_ eq $name } split /,/, $names;
    }
    return;
}

# The names of what the repository is for: the packages that its Dockerfiles named, and not what those need.
sub offered {
    my %named = map { $_ => 1 } lines("$repository/Named");
    return grep { !installed()->{$_} && grep { $named{$_} } @{ available()->{$_}{of} } } sort keys %{ available() };
}

# What the images leave out of packages: dpkg.cfg(5), path-exclude, without what a path-include brings back.
my @rules;

sub left_out {
    my ($path) = @_;
    if (!@rules) {
        for (map { lines($_) } glob '/etc/dpkg/dpkg.cfg.d/*') {
            my ($how, $glob) = /^path-(in|ex)clude=(.*)/ or next;
            my $pattern = quotemeta($glob) =~ s/\\\*/.*/gr =~ s/\\\[(.*?)\\\]/'[' . $1 =~ s{\\}{}gr . ']'/ger;
            push @rules, [ $how, qr/^$pattern$/ ];
        }
    }
    my $out = '';
    for (@rules) { $out = $_->[0] eq 'ex' if $path =~ $_->[1] }
    return $out;
}

# The packages that a word means: a name, another name for it, name-version[-release][.arch], with the shell's wildcards.
# Only yum knows a package by another name.
sub match {
    my ($packages, $word, $other) = @_;
    $other //= 1;
    if ($other) {
        for my $line (family()) {
            my ($name, @also) = @{ $line->{names} };
            return $packages->{$name} if $packages->{$name} && grep { $_ eq $word } @also;
        }
    }
    return $packages->{$word} if $packages->{$word};
    my $pattern = quotemeta $word;
    $pattern =~ s/\\\*/.*/g;
    $pattern =~ s/\\\?/./g;
    $pattern =~ s/\\\[(.*?)\\\]/[$1]/g;
    my $sought = eval { qr/^$pattern$/ } or return;
    return grep {
        my $p    = $_;
        my $full = "$p->{name}-$p->{version}";
        grep { $_ =~ $sought } $p->{name}, "$p->{name}.$p->{arch}", $full, "$full-$p->{release}", nvra($p), nevra($p);
    } map { $packages->{$_} } sort { lc $a cmp lc $b } keys %$packages;
}

sub nvra {
    my ($p) = @_;
    return "$p->{name}-$p->{version}-$p->{release}.$p->{arch}";
}

sub nevra {
    my ($p) = @_;
    return ($p->{epoch} ? "$p->{epoch}:" : '') . nvra($p);
}

sub evr {
    my ($p) = @_;
    return ($p->{epoch} ? "$p->{epoch}:" : '') . "$p->{version}-$p->{release}";
}

# With a merged /usr (file-hierarchy(7)), a package may still name the old folders.
sub merged {
    my ($path) = @_;
    return $path =~ s{^/(bin|sbin|lib|lib64)(/|$)}{/usr/$1$2}r;
}

# Where dpkg has recorded what a package of Debian's has put into the machine.
sub record_of {
    my ($package) = @_;
    my ($list) = grep { -e } "$record/info/$package.list", glob "$record/info/$package:*.list";
    return $list;
}

sub recorded {
    my ($package) = @_;
    my $list = record_of($package) // return;
    return grep { $_ ne '/.' && !(left_out($_) && !-e) } lines($list);
}

# The files of an installed package, sorted.
sub files {
    my ($p) = @_;
    my %seen;
    $seen{ merged($_) } = 1 for map { recorded($_) } @{ $p->{of} };
    for my $line (grep { $_->{names}[0] eq $p->{name} } family()) {
        $seen{$_} = 1 for grep { -e } @{ $line->{files} };
    }
    return sort keys %seen;
}

# When a package was installed, in seconds of the epoch.
sub unpacked {
    my ($p) = @_;
    my $list = record_of($p->{of}[0]);
    return $list ? (stat $list)[9] : 0;
}

# The installed packages that a path belongs to; for yum, those that have a file that fits a pattern, with the file.
sub owner {
    my ($path) = @_;
    my $sought = ref $path ? $path : do { my $exact = merged($path); qr/^\Q$exact\E$/ };
    my @found;
    for my $p (sort { $a->{name} cmp $b->{name} } values %{ installed() }) {
        my @its = grep { $_ =~ $sought } files($p);
        push @found, [ $p, @its ] if @its;
    }
    return @found;
}

# 46 k, 1.2 M: as yum writes sizes.
sub size_words {
    my ($number) = @_;
    my @units = (' ', 'k', 'M', 'G');
    while ($number > 999 && @units > 1) { $number /= 1024; shift @units }
    return sprintf $number < 9.95 && $units[0] ne ' ' ? '%.1f %s' : '%.0f %s', $number, $units[0];
}

# The width of the terminal (ioctl_tty(2), TIOCGWINSZ); 80 where there is none.
sub columns {
    my $size = "\0" x 8;
    return 80 if !-t STDOUT || !ioctl STDOUT, 0x5413, $size;
    my (undef, $width) = unpack 'S!2', $size;
    return $width >= 40 ? $width : 80;
}

1;
