# Takes what a run asked out of the logs of a machine's web server, as `perl -e … ADDRESSES BEGAN REQUESTS` in the machine once the run
# has ended. labenv/checks/lines.pl stands before this.
#
# A line is labenv's own if it names labenv as the browser; or, where a log has no browsers, if it has one of REQUESTS (each once in each log) since BEGAN,
# in seconds since 1970; or if it says that somebody was refused or asked for what is not there, at one of labenv's ports of ADDRESSES. All else that is
# said of an error stays: the evidence quotes it, and it is still to be fixed.

my $SERVERS = qr{/(apache2|httpd|nginx)$};
my @LOGS = glob '/var/log/{httpd,apache2,nginx}/*log';
my $REFUSED = qr{AH01630: client denied|AH01797: client denied|not found or unable to stat};
my ($addresses, $began, $requests) = @ARGV;
my %caller = map { $_ => 1 } split ' ', $addresses;
my @asked = split /\n/, $requests;
my %second = map { localtime($_) =~ /^\w+ (\w+) +(\d+) (\S+) (\d+)/ ? (sprintf('%02d/%s/%s:%s', $2, $1, $4, $3) => 1) : () } $began .. time;

sub chosen {
    my ($from, @lines) = @_;
    my (%goes, %left);
    $left{$_}++ for @asked;
    for my $place (reverse 0 .. $#lines) {
        if ($lines[$place] =~ / "labenv"$/) { $goes{$place} = 1 }
        elsif ($lines[$place] =~ /\[([^\]\s]+) [^\]]*\].* "([A-Z]+ [^"]*)"(?: \d+)? (?:\d+|-)$/) {
            $goes{$place} = 1 if $second{$1} && $left{$2} && $left{$2}--;
        }
        elsif ($lines[$place] =~ / \[client ([^\]\s]+):(\d+)\] (?=.*$REFUSED)/) {
            $goes{$place} = 1 if $caller{$1} && $2 >= $PORTS[0] && $2 <= $PORTS[1];
        }
    }
    return \%goes;
}

mkdir $RUNS;
$0 = $NAME;
for my $log (@LOGS) {
    my ($text, $from) = slurp($log);
    taken_out($log, $SERVERS) if %{ chosen($from, lines_of($text)) };
}
