// heed traces: runs that are kept, and read again without running them.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/traces.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

absl::Status OpenOne(const Arguments& arguments, Session& session) {
  Arguments rest = arguments;
  rest.DropFirst();
  if (rest.positionals().size() > 1) {
    return UsageError("heed traces open takes one prompt.\nPut a text of several words in quotes.");
  }
  auto source = RunSource::Read(rest, session);
  if (!source.ok()) return source.status();
  v1::OpenTraceRequest request;
  request.set_model(session.model());
  *request.mutable_prompt() = source->prompt();
  const auto edits = ReadEdits(arguments, *source);
  if (!edits.ok()) return edits.status();
  AddEdits(*edits, "interventions", session, request.mutable_interventions());
  if (absl::Status s = ReadKeep(arguments, request.mutable_keep()); !s.ok()) return s;
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = Ask(&Inspector::OpenTrace, request, session);
  if (!answer.ok()) return answer.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  // The id alone on standard output, for $(...); the rest is for people.
  session.out() << answer->trace().trace_id() << "\n";
  session.err() << Paragraph(session.err_terminal(),
                             absl::StrCat("heed: ", DescribeTrace(answer->trace())));
  return absl::OkStatus();
}

absl::Status RenewOne(const std::string& trace_id, const Arguments& arguments, Session& session) {
  v1::RenewTraceRequest request;
  request.set_trace_id(trace_id);
  v1::KeepTrace keep;
  if (absl::Status s = ReadKeep(arguments, &keep); !s.ok()) return s;
  if (keep.has_ttl()) *request.mutable_ttl() = keep.ttl();
  const auto answer = Ask(&Inspector::RenewTrace, request, session);
  if (!answer.ok()) return answer.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  session.out() << Paragraph(session.terminal(), DescribeTrace(answer->trace()));
  return absl::OkStatus();
}

absl::Status CloseOne(const std::string& trace_id, Session& session) {
  v1::CloseTraceRequest request;
  request.set_trace_id(trace_id);
  const auto answer = Ask(&Inspector::CloseTrace, request, session);
  if (!answer.ok()) return answer.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  session.out() << "closed: " << FormatBytes(answer->freed_bytes()) << " given back\n";
  return absl::OkStatus();
}

absl::Status RunTraces(const Arguments& arguments, Session& session) {
  const std::vector<std::string>& operands = arguments.positionals();
  const std::string& action = operands.front();
  if (action == "open") return OpenOne(arguments, session);
  if (action != "renew" && action != "close") {
    return UsageError(absl::StrCat("\"", action,
                                   "\" is not one of open, renew, close.\nFor example: ",
                                   "heed traces open \"the keys to the cabinet\""));
  }
  if (operands.size() < 2) {
    return UsageError(absl::StrCat("heed traces ", action, " needs the id of a trace."));
  }
  for (size_t i = 1; i < operands.size(); ++i) {
    absl::Status status = action == "renew" ? RenewOne(operands[i], arguments, session)
                                            : CloseOne(operands[i], session);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

Verb TracesVerb() {
  std::vector<OptionSpec> run;
  for (OptionSpec& option : RunOptions()) {
    if (option.name != "trace") run.push_back(option);
  }
  return {
      .name = "traces",
      .operands = "open PROMPT, renew ID or close ID",
      .min_operands = 1,
      .max_operands = 100,
      .summary = "Keep a run and read it again and again without running it.",
      .description =
          "open prints the id of a new trace, which every reading verb takes with --trace; renew "
          "moves its end; close gives its memory back. Whoever knows an id may read the trace, and "
          "no call lists them. A trace ends by itself, and one that nobody has used for a while "
          "gives way to newer ones.",
      .example = "heed traces open \"the keys to the cabinet\" --residual --ttl=5m",
      .options = JoinOptions({KeepOptions(), EditOptions(), EditScopeOptions(), run}),
      .run = RunTraces};
}

}  // namespace heed::cli
