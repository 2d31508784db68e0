//! A writer under observation: the child process, and what it says.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{child::ChildOptions, message::Message};

/// How long a writer may say nothing before it counts as stuck.
const LONG: Duration = Duration::from_secs(120);

/// A child process that writes.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    messages: Receiver<Message>,
    reader: Option<JoinHandle<()>>,
}

/// Why nothing more is heard of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has ended.
    Ended,
    /// It lives and says nothing.
    Stuck,
}

impl Writer {
    /// Starts a writer: `torture` is the binary that has it as a command.
    ///
    /// # Errors
    /// When the process or the thread that reads what it says does not start.
    pub fn start(torture: &Path, options: &ChildOptions) -> io::Result<Self> {
        let mut child = Command::new(torture)
            .arg("child")
            .args(options.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let (heard, messages) = channel();
        let reader = thread::Builder::new().spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let message = line.parse().unwrap_or(Message::Broken(line));
                if heard.send(message).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { child, messages, reader: Some(reader) })
    }

    /// The next thing that the writer says.
    ///
    /// # Errors
    /// [`Silence`] when there is none.
    pub fn listen(&self) -> Result<Message, Silence> {
        self.messages.recv_timeout(LONG).map_err(|error| match error {
            RecvTimeoutError::Disconnected => Silence::Ended,
            RecvTimeoutError::Timeout => Silence::Stuck,
        })
    }

    /// Stops the writer; when this returns, none of its threads does anything any more.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub fn pause(&self) -> io::Result<()> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::STOP)?;
        // Told only once every thread has left what it was doing in the kernel.
        let told = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(process), told)?;
        Ok(())
    }

    /// Lets a writer that was stopped go on.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn resume(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Kills the writer, and gives what it had said until then.
    ///
    /// # Errors
    /// When it cannot be killed or waited for.
    pub fn kill(mut self) -> io::Result<Vec<Message>> {
        self.end()?;
        Ok(self.messages.try_iter().collect())
    }

    fn end(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        // Its end of the pipe is closed now: the reader comes to the end of it.
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| io::Error::other("the reader of the messages panicked"))?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `kill` this does nothing; after an error nothing else can be done.
        let _ = self.end();
    }
}
