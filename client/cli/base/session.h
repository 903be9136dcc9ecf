// What a command has to work with: the streams, the terminal, the global options and the
// connection.
#ifndef HEED_CLIENT_CLI_BASE_SESSION_H_
#define HEED_CLIENT_CLI_BASE_SESSION_H_

#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/report.h"
#include "client/cli/base/terminal.h"
#include "client/client.h"

namespace heed::cli {

// The process's surroundings. Tests make their own.
struct Environment {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  Terminal out_terminal;  // `color` is set later, from --color and `variables`
  Terminal err_terminal;
  TerminalVariables variables;
  std::string server;  // HEED_SERVER; empty: the default address
  // What follows HEED_ in the names of variables, among which a misspelt SERVER may be.
  std::vector<std::string> heed_variables;
  CancelToken* cancel = nullptr;  // cancelled by Ctrl-C; null: never
};

// The options every verb takes.
std::vector<OptionSpec> GlobalOptions();

class Session {
 public:
  // A usage error when a global option does not read.
  static absl::StatusOr<Session> Create(const Arguments& arguments, const Environment& environment);

  std::istream& in() const { return *environment_.in; }
  std::ostream& out() const { return *environment_.out; }
  std::ostream& err() const { return *environment_.err; }
  const Terminal& terminal() const { return environment_.out_terminal; }
  const Terminal& err_terminal() const { return environment_.err_terminal; }

  bool json() const { return json_; }
  const std::string& model() const { return model_; }  // --model; empty for the default one
  const std::string& server() const { return server_; }
  bool cancelled() const {
    return environment_.cancel != nullptr && environment_.cancel->cancelled();
  }

  // The connection, made at the first call.
  absl::StatusOr<Client*> client();

  // Remembers what was typed for a field of the request, for the errors of the call.
  void NameField(const std::string& path, const std::string& typed) { names_[path] = typed; }
  const FieldNames& field_names() const { return names_; }

  // Options for a call: the deadline and the cancel token.
  CallOptions call_options() const;

 private:
  Session() = default;
  void WarnOfMisspelling();

  Environment environment_;
  bool json_ = false;
  std::string model_;
  std::string server_;
  std::optional<absl::Duration> deadline_;
  std::unique_ptr<Client> client_;
  FieldNames names_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_SESSION_H_
