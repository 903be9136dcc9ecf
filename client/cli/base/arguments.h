// The command line: a verb, its arguments, and options as tables, so that help, checking and
// suggestions come from one place.
#ifndef HEED_CLIENT_CLI_BASE_ARGUMENTS_H_
#define HEED_CLIENT_CLI_BASE_ARGUMENTS_H_

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace heed::cli {

struct OptionSpec {
  std::string name;   // without the dashes
  std::string value;  // what its value is called in the help; empty for a switch
  std::string help;   // one sentence
  bool repeatable = false;
};

// Several tables as one.
std::vector<OptionSpec> JoinOptions(std::vector<std::vector<OptionSpec>> tables);

// What was given. All getters return a usage error for a value that does not read.
class Arguments {
 public:
  // Sorts `words` into positional arguments and the options of `specs`. Options may stand anywhere,
  // as "--name value" or
  // "--name=value"; "--" ends them. `where` completes the hint to the help ("heed predict").
  static absl::StatusOr<Arguments> Parse(const std::vector<std::string>& words,
                                         const std::vector<OptionSpec>& specs,
                                         const std::string& where);

  const std::vector<std::string>& positionals() const { return positionals_; }
  // Takes the first positional argument away, which there is.
  void DropFirst() { positionals_.erase(positionals_.begin()); }
  bool Has(const std::string& name) const { return values_.count(name) > 0; }
  // Each option with its value, in the order typed.
  const std::vector<std::pair<std::string, std::string>>& given() const { return given_; }

  // The last value given, or `fallback`.
  std::string String(const std::string& name, const std::string& fallback = "") const;
  // Every value given.
  std::vector<std::string> Strings(const std::string& name) const;

  // A whole number in [min, max].
  absl::StatusOr<std::optional<int64_t>> Int(
      const std::string& name, int64_t min = std::numeric_limits<int64_t>::min(),
      int64_t max = std::numeric_limits<int64_t>::max()) const;
  absl::StatusOr<std::optional<float>> Float(const std::string& name) const;
  // "250ms", "2s", "1m30s"; a plain number is seconds. Greater than zero.
  absl::StatusOr<std::optional<absl::Duration>> Duration(const std::string& name) const;
  // Whole numbers separated by commas or spaces, of all values given.
  absl::StatusOr<std::vector<int32_t>> Ints(const std::string& name) const;

 private:
  std::vector<std::string> positionals_;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::pair<std::string, std::string>> given_;
};

// Whole numbers separated by commas or spaces; `what` names the source in the error.
absl::StatusOr<std::vector<int32_t>> ParseInts(absl::string_view text, absl::string_view what);

// An error of usage: exit code 2. The message may have lines; those after the first are hints.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// The known name nearest to `name`, when one is near enough to be what was meant.
std::optional<std::string> Nearest(absl::string_view name, const std::vector<std::string>& known);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_ARGUMENTS_H_
