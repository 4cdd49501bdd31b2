# Takes the lines of labenv's checks out of a machine's log, as `perl -e … take TOKEN CALLERS STRANGERS DOMAINS SESSIONS LOG RUN` in the
# machine once a run has ended, and as `perl -e … select TOKEN CALLERS STRANGERS DOMAINS` out of its input: it prints what stays.
#
# A line is labenv's own if it says so: it belongs to a message with labenv's message id, to a session in which a client of
# labenv's spoke (three times NOOP, or its name in HELO), or that began at one of labenv's ports (images/tools/source/connect.c;
# Dovecot has the port in its session ids), or to one of STRANGERS, addresses that nobody but labenv uses; or to one of SESSIONS of
# Dovecot's, which another program began for a check; or, in a second
# in which the checks wrote to one of DOMAINS, a machine refused what another one passed on to there, or named(8) could not resolve
# it. Every other line stays, in its order, and the file stays the same file. What is left of a run that was killed goes with the next
# one's lines.
#
# labenv/checks/lines.pl, which stands before this, takes them out.
my $MARK = 'labenv-check-';
my $AWAITED = "$RUNS/.awaited";
my $TIMES = "$RUNS/.times";    # the seconds in which a run went on, the latest last
my $MOST = 1000;    # of them
my $LONG = 60;    # seconds of a run that count, if nobody knows when it ended
my $SOON = 0.1;    # seconds for the lines about what has just been done
my $CALM = 1;    # seconds for what is not announced, such as the end of a connection to Dovecot that said nothing
my $LATE = 6;    # Postfix ends a connection that it kept for further messages after two (postconf(5), connection_cache_ttl_limit)

my %message;    # by queue id, while it has one
my (@messages, %smtpd, @sessions, %agent, %cleaner, %counter, %loose);
my %awaited;    # the processes of sessions whose end is to come, after so many bytes of the log: their beginning is out
my ($token, %caller, %stranger, %domain, %session, %second);

# A group of lines that go or stay together: `own` and `other` count what speaks for labenv, and for somebody else.
sub group { return { own => 0, other => 0, lines => [], @_ } }

sub is_own { my ($group) = @_; return $group->{own} && !$group->{other} }

# Whether a machine refuses what another one passes on for labenv, to a domain to which the checks write. Another one is who says its
# own name, as Postfix does and mail clients do not.
sub passed_on {
    my ($time, $text) = @_;
    return $second{$time} && $text =~ / reject: RCPT from (\S+)\[.* to=<[^>]*\@([^>]*)> proto=\S+ helo=<\1>/ && $domain{$2};
}

# The group of the message with a queue id; "client=" and "uid=" begin another one (labenv/mail/maillog.py).
sub message {
    my ($id, $text) = @_;
    if (!$message{$id} || $text =~ /^(client|uid)=/) {
        push @messages, $message{$id} = group();
    }
    return $message{$id};
}

sub postfix {
    my ($place, $daemon, $pid, $text, $time) = @_;
    if ($daemon eq 'smtpd' && $text =~ /^connect from \S*?\[([^\]]*)\]/) {
        push @sessions, $smtpd{$pid} = group(open => 1, pid => $pid, ours => $stranger{$1});
    }
    elsif ($daemon eq 'smtpd' && !$smtpd{$pid}) {    # its beginning is in an older log
        push @sessions, $smtpd{$pid} = group(open => 1);
    }
    my $session = $daemon eq 'smtpd' ? $smtpd{$pid} : undef;
    my $names = $text =~ /(?: to=<|helo=<)\Q$MARK\E|helo=<labenv-check\./ || passed_on($time, $text);
    my ($id, $said) = $text =~ /^((?!NOQUEUE)[0-9A-Za-z]{6,}): (.*)/;
    if ($id && ($message{$id} || $said =~ /^(client|uid|message-id|from)=|^removed/)) {
        my $message = message($id, $said);
        push @{ $message->{lines} }, $place;
        push @{ $message->{lines} }, @{ delete $loose{"$daemon $pid"} // [] };
        if ($said =~ /^message-id=<?(\Q$MARK\E)?([^.]*)/) {
            $message->{ $1 ? 'own' : 'other' }++;
            $message->{recent} = 1 if $1 && "$1$2" eq $token;
        }
        elsif ($said =~ /notification: ([0-9A-Za-z]+)$/ && is_own($message) && $message{$1}) {
            ($message{$1}{own}, $message{$1}{other}) = (1, 0);
        }
        if ($session) {
            push @{ $session->{messages} }, $message;
            $session->{ours} ||= $names;
        }
        elsif ($daemon eq 'postsuper') {
            my $cleaner = $cleaner{$pid} //= group(open => 1);
            push @{ $cleaner->{messages} }, $message;
        }
        if ($said eq 'removed') {
            $message->{gone} = 1;
            delete $message{$id};
        }
    }
    elsif ($session) {
        push @{ $session->{ $text =~ /reject: / ? 'rejects' : 'lines' } }, $place;
        $session->{ours} ||= $names;
        if ($text =~ /^disconnect from /) {
            $session->{ours} ||= $text =~ / noop=3 /;
            $session->{open} = 0;
            delete $smtpd{$pid};
        }
    }
    elsif ($daemon eq 'postsuper' && $cleaner{$pid} && $text =~ /^Deleted: (\d+) message/) {
        my $cleaner = delete $cleaner{$pid};
        push @{ $cleaner->{lines} }, $place;
        @$cleaner{qw(open count)} = (0, $1);
        push @sessions, $cleaner;
    }
    elsif ($daemon eq 'anvil' && $text =~ /^statistics: max /) {
        my $counter = $counter{$pid} //= group();
        push @{ $counter->{lines} }, $place;
        if ($text =~ / for \(\w+:([^)]*)\)/) { $counter->{ $stranger{$1} ? 'own' : 'other' }++ }
        else { push @sessions, delete $counter{$pid} }    # "max cache size" is the last of them
    }
    elsif ($daemon eq 'scache' && $text =~ /^statistics: /) {    # it runs when there are many messages at once, and counts them
        my $counter = $counter{$pid} //= group();
        push @{ $counter->{lines} }, $place;
        $counter->{ $second{$1} ? 'own' : 'other' }++ if $text =~ / start interval (.*)/;
        push @sessions, delete $counter{$pid} if $text =~ / max simultaneous /;
    }
    elsif ($daemon =~ /^(smtp|lmtp|local|virtual|pipe)$/) {
        push @{ $loose{"$daemon $pid"} }, $place;    # such as "connect to vm3…: Connection refused": the next line has the queue id
    }
}

sub dovecot {
    my ($place, $text) = @_;
    if ($text =~ /^(lda\([^)]*\)<\d+><[^>]*>): (?:msgid=\W*(.*))?/) {
        my $group = $agent{$1} //= group();
        $group->{ index($2, $MARK) ? 'other' : 'own' }++ if defined $2;
        push @{ $group->{lines} }, $place;
    }
    elsif ($text =~ m{(?:session=|\)<\d+>|,)<([A-Za-z0-9+/]{16})>}) {
        my $session = $1;
        require MIME::Base64;
        my ($port, @address) = unpack 'x6vC4', MIME::Base64::decode_base64($session);
        my $address = join '.', @address;
        return unless $session{$session} || $stranger{$address} || $caller{$address} && $port >= $PORTS[0] && $port <= $PORTS[1];
        my $group = $agent{$session} //= group(own => 1, open => 1);
        push @{ $group->{lines} }, $place;
        $group->{open} = 0 if $text =~ /Disconnected|Logged out|Aborted login|Connection closed/;
    }
}

# Whether named says that it could not resolve what labenv made it look for: then it looks for the root's servers, too.
sub named {
    my ($time, $text) = @_;
    return unless $second{$time};
    return $text =~ / resolving '([^\/']*)\/\w+\/IN': / ? $1 eq '.' || $domain{$1} : $text eq 'resolver priming query complete: failure';
}

# The numbers of the lines that go, and whether more of them will come soon, and late.
sub chosen {
    my ($from, @lines) = @_;
    %message = %agent = %cleaner = %counter = %loose = ();
    @messages = ();
    %smtpd = ();
    @sessions = map { group(open => 1, pid => $_, own => 1, after => $awaited{$_}) } keys %awaited;
    my @waiting = sort { $a->{after} <=> $b->{after} } @sessions;
    my %goes;
    for my $place (0 .. $#lines) {
        while (@waiting && $from >= $waiting[0]{after}) {
            my $session = shift @waiting;
            $smtpd{ $session->{pid} } = $session;
        }
        $from += length $lines[$place];
        next unless $lines[$place] =~ /^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (?:postfix\/(?:\S+\/)?(\w+)\[(\d+)\]|(dovecot)|labenv|named\[\d+\]): (.*)/;
        if ($1) { postfix($place, $1, $2, $4, substr $lines[$place], 0, 15) }
        elsif ($3) { dovecot($place, $4) }
        elsif ($4 =~ /^labenv check looks whether/ || named(substr($lines[$place], 0, 15), $4)) { $goes{$place} = 1 }
    }
    my ($soon, $late) = (0, 0);
    for my $session (@sessions, values %cleaner) {
        my @there = @{ $session->{messages} // [] };
        if ($session->{ours}) {    # also what a client did that got a queue id and sent nothing
            $session->{own} = $_->{own} = 1 for @there, $session;
            push @{ $session->{lines} }, @{ $session->{rejects} // [] };
            $_->{waits} = $session->{open} for @there, $session;
        }
        else {
            $session->{own} ||= grep { is_own($_) } @there;
            $session->{other} ||= $session->{rejects} || grep { !is_own($_) } @there;
            $session->{other} ||= defined $session->{count} && $session->{count} != @there;
        }
        $late ||= $session->{open} if is_own($session);
    }
    for my $message (@messages) { $soon ||= is_own($message) && $message->{recent} && !$message->{gone} }
    $late ||= grep { is_own($_) && $_->{open} } values %agent;
    $soon ||= grep { is_own($_) } values %cleaner;
    for my $group (@messages, @sessions, values %agent) {
        if (is_own($group) && !$group->{waits}) { $goes{$_} = 1 for @{ $group->{lines} } }
    }
    return (\%goes, $soon, $late);
}

# Remember the seconds from the beginning of this run, and of those that were killed, until their connections have ended.
sub remember {
    my $now = int time;
    my @seconds = slurp($TIMES) =~ /(.+)/g;
    for my $began (map { (stat)[9] // () } glob "$RUNS/*") {
        push @seconds, map { substr localtime $_, 4, 15 } $began .. ($began + $LONG < $now ? $began + $LONG : $now + 3);
    }
    splice @seconds, 0, @seconds - $MOST if @seconds > $MOST;
    open my $file, '>', $TIMES or return;
    print $file "$_\n" for @seconds;
}

# What a run leaves to itself and to the next one: the sessions that are awaited.
sub awaited { %awaited = slurp($AWAITED) =~ /^(\d+) (\d+)$/mg }

sub awaits {
    my ($size) = @_;
    %awaited = map { $_->{pid} => $size } grep { $_->{pid} && $_->{open} && is_own($_) && !$_->{waits} } @sessions;
    open my $file, '>', $AWAITED or return;
    print $file "$_ $awaited{$_}\n" for keys %awaited;
}

(my $mode, $token, my ($callers, $strangers, $domains, $sessions, $log, $run)) = @ARGV;
%session = map { $_ => 1 } split ' ', $sessions // '';
%domain = map { $_ => 1 } split ' ', $domains;
%caller = map { $_ => 1 } split ' ', $callers;
%stranger = map { $_ => 1 } split ' ', $strangers;
remember() if $mode eq 'take';
%second = map { $_ => 1 } slurp($TIMES) =~ /(.+)/g;
if ($mode eq 'select') {
    my @lines = <STDIN>;
    my ($goes) = chosen(0, @lines);
    print grep { defined } map { $goes->{$_} ? undef : $lines[$_] } 0 .. $#lines;
    exit;
}

unlink "$RUNS/$run";
pipe my $hears, my $tells or die;
defined(my $worker = fork) or exit;
if ($worker) {
    close $tells;
    sysread $hears, my $nothing, 1;    # it is closed once the first lines are out
    exit;
}
close $hears;
setpgrp;    # with its channel that group is killed
$SIG{$_} = 'IGNORE' for qw(HUP INT TERM PIPE);
$0 = $NAME;
open $_->[0], $_->[1], '/dev/null' for [ *STDIN, '<' ], [ *STDOUT, '>' ], [ *STDERR, '>' ];
awaited();
my ($began, $seen, $late) = (time, -1, 1);
while (time < $began + ($late || %awaited ? $LATE : $CALM)) {
    my $size = -s $log // last;
    if ($size != $seen) {
        my ($text, $from) = slurp($log);
        (my ($goes, $soon), $late) = chosen($from, lines_of($text));
        $soon = 0 if time > $began + $SOON;
        if (!$soon) {
            $size = taken_out($log, qr{/(rsyslogd|postlogd)$}, \&awaited, \&awaits) // -1 if %$goes;
            close $tells;
        }
        $seen = $soon ? -1 : $size;
        if ($size < 0) {    # it is tried again for a moment, and else by the next run
            $late = 0;
            %awaited = ();
        }
    }
    sleep($seen < 0 && time > $began + $SOON ? 0.2 : time < $began + $SOON ? 0.003 : 0.05);
}
