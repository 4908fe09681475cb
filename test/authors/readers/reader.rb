# Reads header fields, one message after the other, with Ruby's mail.
require 'json'
require 'mail'
$stdout.sync = true
reader = lambda do |what|
  begin
    Array(what.call).compact.map(&:to_s).reject(&:empty?)
  rescue StandardError
    nil
  end
end
STDIN.each_line do |line|
  job = JSON.parse(line)
  raw = [job['raw']].pack('H*')
  method = job['name'].downcase.tr('-', '_')
  values = raw.split("\r\n\r\n")[0].gsub(/\r\n(?=[ \t])/, '').split("\r\n").map { |l| l[/\A#{job['name']}:(.*)\z/ni, 1] }.compact
  out = {
    'ruby mail' => reader.call(-> { Mail.new(raw).public_send(method) }),
    'ruby mail AddressList' => reader.call(-> { values.flat_map { |v| Mail::AddressList.new(v.strip).addresses.map(&:address) } }),
  }
  puts JSON.generate(out)
end
